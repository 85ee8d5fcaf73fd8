//! Words as callers say them and recognisers write them: normalised, compared with patience for
//! small errors, and read as digits.
//!
//! English only, like the starter models.

/// Sounds that carry no meaning.
const FILLERS: [&str; 8] = ["um", "uh", "er", "erm", "hmm", "mm", "please", "well"];

/// Words so common that they say little about what is meant.
const COMMON: [&str; 46] = [
    "yes", "no", "a", "an", "the", "at", "on", "in", "is", "it", "i", "to", "of", "for", "my",
    "me", "you", "your", "that", "this", "and", "or", "there", "would", "like", "can", "could",
    "do", "with", "be", "am", "are", "have", "has", "want", "id", "im", "its", "thats", "by", "we",
    "so", "one", "some", "hello", "hi",
];

/// Words of a closed set, near to one another in spelling. None stands for a misheard other.
const CLOSED: [&str; 50] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "zero",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "morning",
    "afternoon",
    "evening",
    "today",
    "tomorrow",
    "yesterday",
];

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// Lower-case words without punctuation and fillers; numbers below a hundred as words, longer ones
/// digit by digit.
pub(crate) fn normalise(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || "-:/,;".contains(c))
        .map(|word| {
            word.chars()
                .filter(|c| c.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty() && !FILLERS.contains(&word.as_str()))
        .flat_map(|word| match number_words(&word) {
            Some(words) => words,
            None => vec![word],
        })
        .collect()
}

fn number_words(word: &str) -> Option<Vec<String>> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let one = |value: usize| ONES.get(value).map(|name| (*name).to_owned());
    let value: usize = match word {
        short if short.len() <= 2 && !(short.len() == 2 && short.starts_with('0')) => {
            short.parse().ok()?
        }
        long => {
            return long
                .bytes()
                .map(|b| one(usize::from(b.wrapping_sub(b'0'))))
                .collect();
        }
    };
    if value < 20 {
        return Some(vec![one(value)?]);
    }
    let mut words = vec![(*TENS.get(value / 10 - 2)?).to_owned()];
    if !value.is_multiple_of(10) {
        words.push(one(value % 10)?);
    }
    Some(words)
}

/// How much a word says about what is meant.
pub(crate) fn weight(word: &str) -> f32 {
    if COMMON.contains(&word) { 0.2 } else { 1.0 }
}

/// How alike a heard word is to an expected one: 1 when equal, 0.75 when it may be the same word
/// misheard, 0 otherwise.
pub(crate) fn likeness(heard: &str, expected: &str) -> f32 {
    if heard == expected {
        return 1.0;
    }
    if CLOSED.contains(&heard) || COMMON.contains(&heard) {
        return 0.0;
    }
    let longest = heard.chars().count().max(expected.chars().count());
    let same_start = heard.chars().next() == expected.chars().next();
    let errors = match longest {
        0..=4 => return 0.0,
        5 => usize::from(same_start),
        6 => 1,
        _ if same_start => 2,
        _ => 1,
    };
    let distance = strsim::damerau_levenshtein(heard, expected);
    if distance > 0 && distance <= errors {
        0.75
    } else {
        0.0
    }
}

/// The digits that were said, in order: "four oh double two" is 4022, "forty seven" is 47.
/// `lenient` also takes words that sound like a digit.
pub(crate) fn spoken_digits(text: &str, lenient: bool) -> String {
    let mut digits = String::new();
    let mut times = 1;
    let mut tens_open = false;
    for word in normalise(text) {
        let word = match word.as_str() {
            "double" => {
                times = 2;
                continue;
            }
            "triple" | "treble" => {
                times = 3;
                continue;
            }
            "oh" | "o" | "nought" | "naught" | "nil" => "zero",
            "for" | "fore" if lenient => "four",
            "to" | "too" if lenient => "two",
            "ate" if lenient => "eight",
            "won" if lenient => "one",
            "free" if lenient => "three",
            "sex" | "sicks" if lenient => "six",
            other => other,
        };
        if let Some(tens) = TENS.iter().position(|name| *name == word) {
            digits.push_str(&((tens + 2) * 10).to_string());
            tens_open = true;
        } else if let Some(value) = ONES.iter().position(|name| *name == word) {
            if tens_open && (1..10).contains(&value) && times == 1 {
                digits.pop();
            }
            digits.push_str(&value.to_string().repeat(times));
            tens_open = false;
        } else {
            tens_open = false;
        }
        times = 1;
    }
    digits
}

/// Joins what is spoken in a row: "a, b, and c", where `word` is "and" or "or".
pub(crate) fn listed(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first, second] => format!("{first} {word} {second}"),
        [most @ .., last] => format!("{}, {word} {last}", most.join(", ")),
    }
}

/// Digits as words, one by one: "4729" is "four seven two nine".
pub(crate) fn digit_words(digits: &str) -> String {
    let words: Vec<&str> = digits
        .chars()
        .filter_map(|c| c.to_digit(10))
        .filter_map(|digit| ONES.get(usize::try_from(digit).ok()?).copied())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_does_not_matter() {
        let words = normalise("Um, I'd like 2:30, half-past 9 o'clock -- please!");
        assert_eq!(
            words,
            [
                "id", "like", "two", "thirty", "half", "past", "nine", "oclock"
            ]
        );
        assert_eq!(normalise("4729"), ["four", "seven", "two", "nine"]);
        assert!(normalise(" ... ").is_empty());
    }

    #[test]
    fn small_recognition_errors_are_forgiven_and_other_words_are_not() {
        for (heard, meant) in [
            ("pattel", "patel"),
            ("wensday", "wednesday"),
            ("organ", "morgan"),
            ("apointment", "appointment"),
        ] {
            assert!(likeness(heard, meant) > 0.5, "{heard} {meant}");
        }
        for (heard, other) in [
            ("thursday", "tuesday"),
            ("look", "book"),
            ("thirteen", "thirty"),
            ("more", "move"),
            ("patient", "patel"),
        ] {
            assert_eq!(likeness(heard, other), 0.0, "{heard} {other}");
        }
    }

    #[test]
    fn digits_are_read_as_people_say_them() {
        for (said, digits) in [
            ("four seven two nine", "4729"),
            ("it is forty seven twenty nine", "4729"),
            ("four oh double two", "4022"),
            ("4729", "4729"),
            ("seventeen twenty", "1720"),
            ("i do not know", ""),
        ] {
            assert_eq!(spoken_digits(said, false), digits, "{said}");
        }
        assert_eq!(spoken_digits("for seven to nine", true), "4729");
    }

    #[test]
    fn rows_are_spoken_with_an_and() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&items, "and"), "a, b, and c");
        assert_eq!(listed(&items[..2], "or"), "a or b");
        assert_eq!(digit_words("4729"), "four seven two nine");
    }
}
