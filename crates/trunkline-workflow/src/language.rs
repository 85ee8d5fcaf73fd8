//! Templates and expressions, both in the language of minijinja (Jinja2).
//!
//! Undefined names are errors. Filters speak values aloud: `listed` ("a, b, and c"),
//! `listed_or` ("a, b, or c") and `digits` ("4729" as "four seven two nine").

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use crate::words;

/// Names that minijinja itself provides.
const BUILT_IN: [&str; 5] = ["range", "dict", "namespace", "loop", "debug"];

/// The templates of one workflow.
#[derive(Debug)]
pub(crate) struct Language {
    environment: Environment<'static>,
}

impl Language {
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_filter("listed", |items: Vec<String>| words::listed(&items, "and"));
        environment.add_filter("listed_or", |items: Vec<String>| {
            words::listed(&items, "or")
        });
        environment.add_filter("digits", |digits: String| words::digit_words(&digits));
        Self { environment }
    }

    /// Adds a template; gives the names that it reads, dotted where they are.
    pub(crate) fn add(&mut self, name: &str, source: &str) -> Result<BTreeSet<String>, Error> {
        self.environment
            .add_template_owned(name.to_owned(), source.to_owned())?;
        let names = self
            .environment
            .get_template(name)?
            .undeclared_variables(true);
        Ok(names
            .into_iter()
            .filter(|name| !is_built_in(name))
            .collect())
    }

    /// The template's text, spaces tidied.
    pub(crate) fn render(&self, name: &str, names: &Value) -> Result<String, Error> {
        let text = self.environment.get_template(name)?.render(names)?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The names that an expression reads.
    pub(crate) fn names_of(&self, expression: &str) -> Result<BTreeSet<String>, Error> {
        let names = self
            .environment
            .compile_expression(expression)?
            .undeclared_variables(true);
        Ok(names
            .into_iter()
            .filter(|name| !is_built_in(name))
            .collect())
    }

    /// Whether an expression is true.
    pub(crate) fn is_true(&self, expression: &str, names: &Value) -> Result<bool, Error> {
        let value = self
            .environment
            .compile_expression(expression)?
            .eval(names)?;
        Ok(value.is_true())
    }
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name.split('.').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    #[test]
    fn an_empty_variable_is_neither_yes_nor_no() {
        let language = Language::new();
        let names = context! { confirmed => "" };
        for expression in ["confirmed == true", "confirmed == false", "confirmed"] {
            assert!(
                !language.is_true(expression, &names).unwrap(),
                "{expression}"
            );
        }
    }

    #[test]
    fn names_are_found_with_their_fields() {
        let mut language = Language::new();
        let names = language
            .add(
                "t",
                "{% for x in list %}{{ x }}{% endfor %}{{ patient.name }}",
            )
            .unwrap();
        assert_eq!(
            names,
            BTreeSet::from(["list".to_owned(), "patient.name".to_owned()])
        );
    }

    #[test]
    fn values_are_spoken() {
        let mut language = Language::new();
        language
            .add("t", "{{ times | listed }},\n  {{ number | digits }}")
            .unwrap();
        let names = context! { times => ["one", "two", "three"], number => "47" };
        assert_eq!(
            language.render("t", &names).unwrap(),
            "one, two, and three, four seven"
        );
    }
}
