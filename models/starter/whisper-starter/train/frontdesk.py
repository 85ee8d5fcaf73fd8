"""Template grammar of a telephone front desk: a clinic (mostly) and a bank.  `front_desk(r)` returns one marked sentence.

A marked sentence may hold , . and ? : `plain()` removes them (the transcript), the speech engines get them some of the
time (they make pauses and change the melody).  Mini-language: (a|b|) picks one, <name> calls a slot.
"""
import random
import re

from grammar import (CITIES, DAYS, FIRST, LAST, MONTHS, NATO, ORD, REL, STREETS, STREET_T, TEENS, clock, code, date,
                     digits, money, num, spell, year)

# The demo's own lines: never in the training data of the front-desk stage, neither alone nor inside a longer sentence.
# ("yes please" is so common a phrase that it stays in training; it is scored with the others, but says little.)
HELD_OUT = ["hello i would like to book an appointment with doctor patel please",
            "good morning i need to see doctor patel",
            "wednesday at two thirty please",
            "sorry can i have the wednesday one please",
            "yes please",
            "is there parking at the clinic",
            "do you have parking at the clinic",
            "no thank you that is all goodbye",
            "no that is everything thank you goodbye"]
FORBIDDEN = [s for s in HELD_OUT if s != "yes please"]
FRONT_SEED, FRONT_EVAL_SEED = 20261123, 779

DOCTORS = "patel khan shah smith jones brown taylor evans wilson thomas ahmed green white lee murphy singh".split()
MEDS = """blood pressure tablets;antibiotics;inhaler;insulin;tablets;medication;eye drops;cream;pain killers;
contraceptive pill;asthma inhaler;thyroid tablets;antihistamines;vitamins;medicine""".replace("\n", "").split(";")
BODY = "back knee shoulder foot ankle wrist neck ear throat stomach chest head elbow hip eye leg arm tooth".split()
AIL = """a bad cough;a sore throat;a headache;a high temperature;a fever;a rash;back pain;chest pain;a cold;the flu;
an ear infection;toothache;a stomach ache;a bad back;a sore knee;an allergy;asthma;diabetes;high blood pressure;
a swollen ankle;trouble sleeping;an upset stomach;a chest infection;hay fever;migraines;a cut on my finger""".replace(
    "\n", "").split(";")
TESTS = ["blood test", "scan", "x ray", "urine test", "blood", "test", "allergy test", "ultrasound",
         "eye test", "hearing test"]
APPTS = ["appointment", "appointment", "appointment", "appointment", "checkup", "consultation", "blood test",
         "vaccination", "flu jab", "follow up appointment", "telephone appointment", "eye test", "scan", "health check",
         "dental appointment", "review", "follow up", "physiotherapy session"]
SITE = ["clinic", "clinic", "clinic", "surgery", "hospital", "practice", "health centre", "medical centre", "pharmacy",
        "branch", "bank", "office"]
ACC = ["account", "current account", "savings account", "joint account", "bank account", "business account",
       "credit card", "checking account"]


def _time(r):
    h = num(r, r.randint(1, 12))
    return r.choice([f"{h} thirty", f"{h} thirty", f"{h} fifteen", f"{h} forty five", f"half past {h}", f"quarter past {h}",
                     f"quarter to {h}", f"{h} o'clock", f"{h} o'clock", h, f"{h} a m", f"{h} p m",
                     f"{h} in the {r.choice(['morning', 'afternoon'])}", f"{h} {r.choice(['ten', 'twenty', 'forty', 'fifty'])}",
                     f"{num(r, r.choice([5, 10, 20, 25]))} {r.choice(['past', 'to'])} {h}", f"{h} thirty in the afternoon",
                     f"{r.choice(TEENS[:3])} o'clock", "midday", "noon"])


def _day(r):
    d = r.choice(DAYS)
    return r.choice([d, d, d, d, d, f"next {d}", f"this {d}", "tomorrow", f"{d} the {r.choice(ORD)}"])


SLOTS = {
    "doc": lambda r: "doctor " + (r.choice(DOCTORS) if r.random() < 0.45 else r.choice(LAST)),
    "day": lambda r: r.choice(DAYS),
    "dayx": _day,
    "time": _time,
    "clock": clock,
    "date": date,
    "bday": lambda r: f"{date(r)} {year(r)}" if r.random() < 0.7 else f"the {r.choice(ORD)} of {r.choice(MONTHS)} {year(r)}",
    "month": lambda r: r.choice(MONTHS),
    "ord": lambda r: r.choice(ORD),
    "rel": lambda r: r.choice(REL[:8] + ["child", "baby", "mum", "dad", "little boy", "daughter", "son", "mother"]),
    "first": lambda r: r.choice(FIRST),
    "last": lambda r: r.choice(LAST),
    "name": lambda r: f"{r.choice(FIRST)} {r.choice(LAST)}",
    "n": lambda r: num(r, r.choice([2, 3, 4, 5, 6, 7, 10, 15, 20, 30])),
    "digits": lambda r: digits(r, r.choice([3, 4, 4, 5, 5, 6, 6, 7, 8])),
    "digits4": lambda r: digits(r, 4),
    "tel": lambda r: digits(r, r.choice([6, 8, 10, 11])),
    "code": code, "spell": spell, "money": money,
    "med": lambda r: r.choice(MEDS), "body": lambda r: r.choice(BODY), "ail": lambda r: r.choice(AIL),
    "test": lambda r: r.choice(TESTS), "appt": lambda r: r.choice(APPTS), "site": lambda r: r.choice(SITE),
    "acc": lambda r: r.choice(ACC), "city": lambda r: r.choice(CITIES),
    "street": lambda r: f"{r.choice(STREETS)} {r.choice(STREET_T)}",
    "nato": lambda r: r.choice(NATO),
    "when": lambda r: expand(r, "(<day>|next <day>|<day> at <time>|<day> (morning|afternoon)|the <ord>|the <ord> of <month>"
                                "|tomorrow|tomorrow (morning|afternoon)|next week|this week|today|this (morning|afternoon)"
                                "|later today|<time>|<day> after <time>|the end of the week|<day> or <day>)"),
    "onwhen": lambda r: expand(r, "(on <day>|next <day>|on <day> at <time>|on <day> (morning|afternoon)|on the <ord>"
                                  "|tomorrow|tomorrow (morning|afternoon)|next week|this week|today|this (morning|afternoon)"
                                  "|later today|at <time>|at <time> on <day>|on <day> the <ord>|at the weekend)"),
    "hi": lambda r: "" if r.random() < 0.5 else r.choice(
        ["hello, ", "hello ", "hello, ", "hi, ", "hi ", "good morning, ", "good morning ", "good morning. ", "good afternoon, ",
         "good afternoon. ", "good evening, ", "hi there, ", "hello there, ", "hello. ", "yes, hello, ", "oh hello, "]),
    "pls": lambda r: r.choice(["", "", "", " please", " please", " please", ", please", ", thank you", " if possible",
                               " as soon as possible", " if that is okay", ", thanks"]),
    "like": lambda r: r.choice(["i would like to", "i would like to", "i would like to", "i'd like to", "i want to",
                                "i need to", "i need to", "i was hoping to", "i am calling to", "could i", "can i", "can i",
                                "may i", "i am ringing to", "i have to", "could i please", "can i please"]),
    "ok": lambda r: r.choice(["okay", "great", "lovely", "perfect", "brilliant", "wonderful", "all right", "fine", "good",
                              "right", "excellent"]),
    "bye": lambda r: r.choice(["goodbye", "goodbye", "goodbye", "bye", "bye bye", "have a nice day", "take care",
                               "have a good day", "see you soon", "speak to you soon", "good night", "cheers"]),
}

BOOK = """<hi><like> (book|book|book|make|arrange|schedule|get) (an|an|an|my|another) <appt> with <doc><pls>
<hi><like> (book|book|make|arrange|schedule) an appointment<pls>
<hi><like> (book|make|arrange) an appointment (with <doc>|with the nurse|with a doctor|with the dentist|to see <doc>|for my <rel>|for <when>|with <doc> for <when>|with <doc> <onwhen>|about my <body>)<pls>
<hi>(i need|i need|i would like|i'd like|i want|i have|i was hoping|i am calling) to see (<doc>|<doc>|<doc>|the nurse|a doctor|the doctor|someone|a dentist)(| <onwhen>| about my <body>| today| about my <rel>)<pls>
<hi>(can|could|may) i (see|see|speak to|visit|come and see) (<doc>|<doc>|the nurse|a doctor)(| <onwhen>)<pls>
<hi>(can|could|may) i (book|make|have|get) (an appointment|a <appt>|an appointment) (with <doc>|for <when>|this week|for my <rel>|)<pls>
<hi>i need (an appointment|a <appt>|an appointment) (with <doc>|for <when>|for my <rel>|to see <doc>|about my <body>|as soon as possible|)<pls>
(is|when is|will) <doc> (available|free|in|working) (<onwhen>|next|)?
does <doc> have (anything|any appointments|any time|a space|any slots) (<onwhen>|next week|before <day>|after <time>|in the (morning|afternoon))?
(what|when) is the (next|first|earliest) (available|free) (appointment|slot|time) (with <doc>|<onwhen>|)?
(do you have|have you got|is there) (anything|something|any appointments|an appointment|a slot) (<onwhen>|earlier|later|sooner|in the (morning|afternoon|evening)|on (a|another) <day>|before <time>|after <time>)<pls>?
(it is|it is|this is) for (my <rel>|me|myself|<name>|a <appt>|my <appt>)
it is (about|for) (my <body>|<ail>|a <appt>|my prescription|my <test> results)
i would (like|prefer) (<doc>|to see <doc>|a (male|female) doctor|the same doctor|a telephone appointment|the (morning|afternoon)|<day>)<pls>
with <doc><pls>
<doc><pls>
it was <doc>
my (usual |)doctor is <doc>"""

SLOT = """<dayx> at <time><pls>
<dayx> at <time> please
<day> at <time> (is|would be|works|sounds) (fine|good|great|perfect|best|okay)
(<time> on <day>|<day> (morning|afternoon)|on <day>|at <time>|<dayx>|<time>)<pls>
the <day> (one|one|appointment|slot)<pls>
the (first|second|third|last|later|earlier|early|morning|afternoon|other|next) (one|one|slot|appointment|time)<pls>
(sorry, |okay, |actually, |yes, |)(can|could|may) i (have|have|take|get|book|choose) the (<day>|<day>|<time>|first|second|last|later|earlier|morning|afternoon|other) (one|one|slot|appointment)<pls>
(i will|i'll|i would like to|let me|i can) (take|have|go for|go with|do) (the <day> one|<day> at <time>|the <time>|<day>|the (first|second|last|earlier|later) one|that one)<pls>
let us (say|go with|make it|do) (<day>|<day> at <time>|<time>|the <day> one|the (first|second) one)<pls>
(<day>|<time>|<day> at <time>|that|the (morning|afternoon)|that time|that day) (is|is|would be|will be) (fine|good|best|better|perfect|okay|great)( for me|, thank you|, thanks| thank you|)
(i can|i cannot|i can't|i could) (do|make|come|manage) (<day>|<time>|<onwhen>|that|mornings|<day> afternoon)
(what|how) about (<day>|<time>|<day> at <time>|<day> (morning|afternoon)|next week|the <ord>)<pls>?
(can|could) (you|we) (do|make it) (<day>|<time>|<day> at <time>|a bit later|a bit earlier|next week|<time> instead|<day> instead)<pls>?
(either|any day|any time|anything|mornings|afternoons|next week|<day> or <day>|the morning|the afternoon) (is|are|would be) (fine|good|best|better|okay)( for me|)
(is|do you have) (<time>|<day>|<day> at <time>) (available|free|possible|still free)?
(no|sorry), (<day>|<time>|that|that day|that time) (is|does) (no good|not work for me|not good for me|too early|too late)
i am (free|not free|busy|away|at work) (<onwhen>|on <day>|until <time>|after <time>|all day <day>)
(in|first thing in) the (morning|afternoon|evening)<pls>
(before|after|around|about) <time><pls>
(for |)(<n> minutes|half an hour|an hour)
(at|on) (<time>|<day>|the <ord>|<day> the <ord>)<pls>"""

FIXIT = """(no|no|sorry|sorry no|oh no), i (meant|meant|mean|said|wanted) (<day>|<day>|<time>|<day> at <time>|<doc>|the <ord>|the (<day>|second|first|later|earlier) one|next <day>)
(no|sorry|oh|actually), not <day>, <day>
(no|sorry), not (<doc>|<day>|<time>), (<doc>|<day>|<time>)
sorry, (that should be|make that|i mean|it is|it should be) (<day>|<time>|<day> at <time>|<doc>|the <ord>)<pls>
actually, (can we|could we|can you|let us|could you) (make it|change it to|move it to|say) (<day>|<time>|<day> at <time>|next week)<pls>
(no|sorry), (that is|that's) (not right|wrong|not correct|not what i said|the wrong (day|time|number|doctor|name)|not me)
no, it is (<digits>|<spell>|<last>|<name>|<day>|<time>|<doc>|the <ord>)
(no, |sorry, |)(the|my) (last (two|three|four) digits are|number is|surname is|first name is) (<digits4>|<last>|<first>)
i (made|have made) a mistake, (it is|i meant) (<day>|<time>|<digits>)
(no|sorry), (let me|can i) (start again|say that again|change that|correct that)
wait, (i meant|not <day>|make it <day>|i have changed my mind)
(not <day>|not that one), the (other|<day>|second|first|next) one<pls>
no, (the|my) (<appt>|appointment) is (on <day>|at <time>|with <doc>)"""

MOVE = """<hi><like> (move|change|reschedule|cancel|cancel|confirm|check|postpone|rearrange) my <appt>(| with <doc>| on <day>| for <when>| <onwhen>)<pls>
<hi><like> (move|change|reschedule|postpone) my <appt> (to|from <day> to) <when><pls>
(can|could) (i|you|we) (move|change|bring|push) (it|my appointment|the appointment|that) (to|forward to|back to) (<when>|<day>|a later time|another day|next week)<pls>?
<hi>i (cannot|can't|am not able to|will not be able to) (make|come to|get to|keep|attend) my <appt>(| on <day>| <onwhen>| with <doc>)
<hi>i am (running|going to be|a bit|a little) (late|<n> minutes late) for my (appointment|<appt>)(| with <doc>)
(please |)(cancel|move|change|confirm|keep) (it|the appointment|my appointment|that one|the <day> one|both)<pls>
<hi>i (have|had|booked|made|missed) an appointment (with <doc>|<onwhen>|with <doc> <onwhen>|on <day> at <time>|today at <time>)
(what time|when|what day|where) is my (next |)(appointment|<appt>)(| with <doc>| on <day>)?
is my appointment (on <day> or <day>|at <time> or <time>|with <doc>|still on|on <day>)?
(can|could) you (tell me|remind me|check|confirm) (when|what time|what day|where) my (appointment|<appt>) is<pls>?
(do i have|have i got) an appointment (<onwhen>|with <doc>|this week)?
i (did not|have not) (get|received|got) (a|the|my) (confirmation|letter|text message|email|reminder)
(can|could|will) you (send me|email me|text me) (a|the) (reminder|confirmation|letter|text|details)<pls>?
i do not need (the|my) (appointment|<appt>) (any more|now|on <day>)
i want to cancel<pls>"""

IDENT = """(my name is|it is|this is|the name is|my full name is|i am|it's) <name>
<hi>(my name is|this is|it is) <name>
<name>
(my |)(date of birth is|birthday is|date of birth) <bday>
(i was born on |it is |)(the <ord> of <month> <bday>|<bday>)
(my |the |)(patient|hospital|reference|booking|membership|insurance|appointment|case) number is <digits>
(it is|the number is|my number is|yes, it is|number|patient number) <digits>
<digits>
(my (phone|mobile|telephone|home|contact) number is|you can call me on|the best number is|my number is) <tel>
my (last name|surname|family name) is <last>(|, <spell>)
my (first name|name) is <first>(|, <spell>)
(it is|that is) spelled <spell>
my (postcode|reference|booking reference) is <code>
(my address is|i live at|it is) <n> <street>
i am (a new|an existing|not a|already a) patient
i am (not registered|registered|not registered yet|a patient) (at|with) (the|your) <site>
i have (never|already) been to (the|your|this) <site>( before|)
how (do|can) i register (as a new patient|with <doc>|with the <site>|)?
(i do not have|i cannot find|i have forgotten|i do not know|where do i find) my (patient number|reference number|account number|booking number)
the (last|first) (three|four) digits (of my number |)are <digits4>"""

ASK = """(is|is) there (any |a |free |disabled |)(parking|parking|car park|parking space|bus stop|lift|toilet|cafe|pharmacy|waiting room) (at|near|by|outside|behind|close to|inside) the <site>?
is there (any |free |disabled |somewhere for |)parking (there|nearby|near you|outside|on site|close by|at your <site>|for patients|)?
(do you have|have you got) (any |free |a |)(parking|parking|a car park|disabled parking|wheelchair access|parking spaces|a lift) (at|near|outside|by|for) (the <site>|the <site>|your <site>|patients|visitors)?
(do you have|have you got) (parking|a car park|free parking|disabled parking|wheelchair access|a lift|somewhere to park)?
(where|where) (can|do|should|could) i park( my car|)( at the <site>| near the <site>|)?
(how much is|is) (the |)parking( free| expensive| at the <site>| for an hour|)?
(can|could) i park (at|outside|near|behind|in front of) the <site>?
what time (do you|does the <site>|does <doc>|does the pharmacy) (open|close|open|start|finish)(| on <day>| today| tomorrow| at the weekend)?
(what are|can you tell me|could you tell me|i would like to know) (your|the) opening (hours|times)(| on <day>| at the weekend| for the <site>| over christmas)<pls>?
(are you|is the <site>|will you be) (open|closed) (on <day>|today|tomorrow|at the weekend|at lunch time|on <day> (morning|afternoon)|until <time>|at <time>|now)?
(when|how late) (do you|does the <site>|are you|is the <site>) (open|close)(| on <day>| tonight| tomorrow)?
(what is|can i have|could you give me|can you tell me) (the|your) (address|phone number|email address|postcode|website|fax number)( of the <site>| please| of the <site> please|)?
where (is the <site>|are you|is your <site>|exactly are you|is <doc>|is reception|do i go)(| in <city>)?
(how do i get|how can i get|what is the best way|can you tell me how to get) to the <site>(| by bus| by car| from the station| from <street>)?
(is it|is the <site>|are you) (near|far from|next to|close to|on) (the station|<street>|the bus stop|the town hall|the school|the main road)?
(which|what) (bus|floor|room|door|entrance|building) (is it|do i take|goes to the <site>|should i go to|do i need)?
(do i need to|should i|must i) (bring|take) (anything|my passport|my insurance card|my medication|a form of id|my glasses|my letter|some identification)(| with me)?
how long (does it|will it|does the appointment|does a <appt>|is the appointment|will i have to|is the) (take|wait|last|be)?
how long is the (wait|waiting list|appointment|queue)?
how much (does it|does a <appt>|is a <appt>|is it|will it|is the <appt>) (cost|to see <doc>|)?
(do you|can i) (take|pay by|pay with|accept) (cards|credit card|cash|insurance|card|cheque)?
(can|could) i (come in|walk in|just turn up|see someone) without an appointment?
(can|may|could) i bring my (<rel>|dog|children|friend)( with me| to the appointment|)?
do i need (to fast|a referral|an appointment|to bring anything|to fill in a form|to come in|to pay)( before the <test>| for that| first|)?
do you (have|do|offer|take) (a nurse|a dentist|flu jabs|vaccinations|new patients|blood tests|home visits|video appointments|private patients)?
(is|are) (the <site>|you|<doc>) (taking|seeing|accepting) new patients?
how (early|soon) should i (come|arrive|get there)?
(who is|what is the name of) the (doctor|nurse|dentist|manager|receptionist)( on <day>|)?
is (it|the <site>) (wheelchair accessible|easy to find|busy|open)?"""

TEST = """<hi>(i am calling|i am ringing|i would like|i want) (for|about|to ask about|to get|to talk about) (my|the|my) <test> results<pls>
(are|have) my (<test> |)results (back|ready|in|come back|arrived|come in)( yet|)?
(when|how) (will|can|do) (i get|i have|my doctor get) (my|the) (<test> |)results?
(can|could|may) i (have|get|ask about|collect) (my|the) (results|<test> results|results of my <test>)<pls>?
what (are|were|do) (my|the) (<test> |)results( mean|)?
i had a <test> (<onwhen>|last week|on <day>|yesterday|last <day>|at the <site>)
(i need|i would like|i'd like to book|can i book) a <test> (<onwhen>|for my <rel>|)<pls>
has (the|my) (letter|referral|report|result) (arrived|been sent|come) (yet|from the hospital|)?
i am waiting for (my results|a letter|a referral|the results of my <test>|a call from <doc>)
<hi>(i need|i would like|i'd like to order|can i have|could i get|can i order|i am calling for|i want) (a|my|a|another) (repeat |new |repeat |)prescription<pls>
<hi>(i need|i would like|can i have|could i get|can i order) (a|my) (repeat |new |)prescription for (my |)<med><pls>
is my (repeat |)prescription ready( to collect| yet| for collection|)?
(where|when|how) (can|do) i (collect|pick up|get|order) my (repeat |)prescription?
i have (run|nearly run|almost run) out of (my |)<med>
(can|could) you (send|fax|email|transfer) (my|the) prescription to (the pharmacy|my pharmacy|the chemist|the pharmacy on <street>)<pls>?
i need (more|some more|a refill of|to renew) (my |)(<med>|prescription)
i (take|am taking|am on|was given|stopped taking) (<med>|<n> tablets a day|<med> for <ail>)
can i (take|have) (<med>|it) (with food|twice a day|while i am pregnant|with my other <med>)?
(it is|the prescription is|it was) for (my |)(<med>|asthma inhaler|<rel>)
i (have|have got|have had|think i have|am suffering from) <ail>( since <day>| for <n> days| for <n> weeks| again|)
my (<rel>|baby|<rel>) (has|has got|has had) <ail>( since <day>| for <n> days|)
my <body> (hurts|is sore|has been hurting|is swollen|is very painful|aches|has been hurting since <day>|is getting worse)
i (fell|cut myself|feel sick|feel dizzy|feel unwell|do not feel well|hurt my <body>)( yesterday| this morning| on <day>| last night|)
(it is|it is|this is) (urgent|not urgent|an emergency|quite urgent|getting worse|very painful|just a checkup|a routine checkup|nothing serious)
i am allergic to (<med>|penicillin|nuts|antibiotics|cats)
i (need|would like) a (sick note|doctors note|referral|letter from <doc>|medical certificate)( for work|)<pls>
(should i|do i need to) (come in|call an ambulance|go to hospital|stay at home|see a doctor)?"""

CHAT = """(yes|yes|yeah|yep|yes), (that is|that's) (right|correct|fine|perfect|great|good|okay|all right|me|it)(, thank you|, thanks| thank you|)
(yes|yeah|okay|sure), (that works|i can do that|please go ahead|go ahead|i will|i am|i do|i would|i can|i have|it is|of course|please do|i think so|that would be (great|good|lovely|fine))(| please|, thank you|, thanks)
(yes|yes|okay|sure|great), (book it|please book it|please do that|confirm it|go ahead and book it|i will take it|i would like that|send it|do it)<pls>
(no|no|nope), (that is|that's|that is|that will be) (all|all|everything|everything|it|fine|all for now|all for today|all i needed|everything for today)(, thank you|, thanks| thank you| thanks|)(| very much| so much)(||, <bye>|. <bye>)
(no|no|no thanks|no thank you), (that is|that's|that was|that will be) (all|it|everything|fine)(| for now| for today| i needed)(|, <bye>|. <bye>|, bye)
(no|no), (nothing else|i am fine|i am good|not today|not right now|i do not|i am not|i have not|it is not|that is not me|i will call back later)(, thank you|, thanks| thank you|)(|. <bye>)
no (thank you|thanks), (i am fine|i am good|nothing else|not today|i will call back|i will think about it|see you then|<bye>|have a nice day)
that is (all|everything|all i need|all i needed|everything i needed|great|very kind|very helpful|all for today)(, thank you|, thanks| thank you|)(| very much)(|. <bye>|, <bye>)
(thank you|thank you|thanks|thank you so much|thank you very much|many thanks|thanks a lot)(| for your help| for calling| for that| for everything)(|, <bye>|. <bye>|, see you on <day>|, that is all)
(<ok>|<ok>), (thank you|thanks|thank you very much|that is fine|see you then|see you on <day>|see you at <time>|<bye>|thank you, <bye>|that is perfect|that is great|please do)
(<ok>|yes|no), (see you|i will see you|i will be there|we will be there) (then|on <day>|at <time>|tomorrow|next week)(| thank you|, <bye>|, thanks)
(goodbye|bye|bye bye|goodbye then|bye now|bye for now)(|, thank you|, thanks|, see you (soon|then|on <day>)|, have a nice day)
(have a (nice|good|lovely|great) (day|afternoon|evening|weekend))(|, <bye>|, thank you)
(yes|yeah|yes|sure|okay|of course|certainly|absolutely|definitely), (<day>|<time>|<day> at <time>|<doc>|the <day> one|the first one|the second one|for <day>|at <time>|my name is <name>|it is <digits>)<pls>
(yes|yep|yeah), (it is|that is|i said) (<day>|<time>|<name>|<doc>|for me|for my <rel>)
(yes|no), i (am|am not|do|do not|have|have not|can|cannot|would|would not|did|did not|will|will not)
(yes|no|okay|sure|right|correct|perfect|great|lovely|fine|exactly|of course|that is right|that is correct|sounds good)(| thank you|, thank you| please|, thanks)
(one moment|just a moment|hold on|just a second|one second|wait a moment|give me a moment|bear with me)(|, please| please|, i will (check|get my diary|find a pen|look))
(let me|i will|i need to|i have to) (check|think|look at|look in|ask) (my diary|my calendar|about it|my <rel>|that)(| first)
(hello|hello|hi|hello there|good morning|good afternoon|hello, are you there|hello, can you hear me|hi there)?
(are you|hello, are you|is this|am i speaking to) (there|still there|the <site>|a person|a real person|a robot|reception|the front desk|<doc>)?
(sorry|sorry|pardon|excuse me), (can|could) you (repeat|say) that(| again)(| please| for me| more slowly)?
(can|could) you (repeat|say) (that|the time|the day|the address|it|the number|the date)(| again| once more)(| please| slowly please)?
(sorry, |)(i did not|i didn't|i could not) (catch|hear|understand|get) (that|you|the time|the day|what you said|the last part)
(sorry, |)what was (that|the time|the date|the day|the address|the number|the doctor|the first one|the last one)(| again)(| please)?
(which|what) (day|time|doctor|date) (was that|is that|did you say|is it)?
(did you say|was that|is that|do you mean) (<day>|<time>|<day> or <day>|<time> or <time>|<day> at <time>|<doc>)?
so (that is|it is|my appointment is) (<day> at <time>|<day>|with <doc>|on <day> at <time>|with <doc> on <day>)(|, is that right)?
(i do not know|i am not sure|i don't know|maybe|i think so|i forgot|i will have to check|it does not matter|i do not mind|i don't mind)(|, sorry)
what (times|days|dates|appointments) (do you have|are available|have you got)(| on <day>| next week| with <doc>)?"""

PERSON = """<hi>(can i|could i|i would like to|i want to|let me|i need to|may i|can i please) (speak|speak|talk) (to|to|with) (a person|someone|a human|a human being|the receptionist|reception|a nurse|the manager|a real person|an adviser|<doc>|somebody|an agent|a member of staff|your manager|the doctor)<pls>
(put me through|transfer me|connect me|pass me) to (reception|a person|the pharmacy|the nurse|someone|<doc>|an adviser|the front desk|the ward|your manager|a human|accounts)<pls>
(i do not|i don't) want to (talk|speak) to a (machine|robot|computer)
(is there|can i get) (a person|someone|a human|anyone) (there|i can speak to|i can talk to)(| please)?
(can|could) (someone|somebody|<doc>|the nurse|the doctor|you) (call|ring|phone) me (back|back <onwhen>|today|later|on <tel>|please)?
(can|could) i leave a message (for <doc>|for the nurse|please|)?
(please |)(tell <doc>|ask <doc>|tell the nurse|ask the nurse) (to call me back|that i called|i am running late|that i will be late)
<hi>i am (calling|ringing|phoning) (about|for|on behalf of|because of) (my <rel>|an appointment|my appointment|a prescription|my results|my <test> results|my <acc>|a bill|a letter i got|my card)"""

BANK = """<hi>(i have lost|i lost|i cannot find|i think i have lost|someone has stolen|i have misplaced) my (bank |debit |credit |)card
my (bank |debit |credit |)card (has been|was|is) (stolen|lost|declined|blocked|damaged|swallowed by the machine|not working)
<hi>(i need|i want|i would like|please can you help me|i'd like) to (block|cancel|stop|freeze|replace|report|activate|unblock) my (bank |debit |credit |new |)card<pls>
<hi>(what is|can you tell me|could you tell me|i would like to check|i want to know|can i check) (my balance|the balance on my <acc>|the balance of my <acc>|my <acc> balance|my account balance)<pls>?
how much (money |)(is|do i have) (in|on) my <acc>?
<hi><like> (open|close|open) (a|an|my) (new |)<acc><pls>
<hi><like> (transfer|pay|send|move|withdraw|deposit) <money> (to|into|from) my (<acc>|<rel>|savings)<pls>
there is (a payment|a transaction|a charge) (of <money> |)(i do not recognise|i did not make|on my <acc>)
i (forgot|have forgotten|do not remember|need to change) my (pin|password|pin number|user name|memorable word)
i need a new (pin|card|bank statement|cheque book|password)<pls>
(what is|what's|can i have) (the|my|your) (sort code|interest rate|account number|exchange rate|overdraft limit)<pls>?
my account number is <digits>
my sort code is <digits>
my card number ends in <digits4>
the last four digits (of my card |)are <digits4>
(has|did|when will) my (salary|payment|refund|transfer|money) (come in|go through|arrive|arrived|cleared)( yet|)?
<like> (increase|change|check|lower) my (limit|overdraft|address|phone number|credit limit|direct debit)<pls>
where is (my nearest|the nearest|your) (branch|cash machine|bank)?
<like> (speak to someone|talk to someone|ask) about (a loan|a mortgage|my account|my mortgage|opening an account|my credit card|a payment)<pls>
(i have not received|when will i get|where is) my (new |)(card|pin|statement|cheque book)( yet|)
how do i (open an account|change my address|pay in a cheque|get a loan|activate my card|cancel a payment|set up a direct debit)?
(please |can you |)(cancel|stop|set up|change) (my|the|a) (direct debit|standing order|payment|subscription)<pls>
(can you |please |)send me (a|my) (statement|new card|new pin|copy of my statement)<pls>
i (was|have been) charged (<money>|twice|a fee)(| for my <acc>| on <day>| by mistake)
i am (going abroad|moving house|locked out of my account|travelling to <city>)( next week| on <day>|)"""

FAMILIES = [(0.17, BOOK), (0.16, SLOT), (0.06, FIXIT), (0.09, MOVE), (0.08, IDENT), (0.12, ASK), (0.09, TEST),
            (0.13, CHAT), (0.04, PERSON), (0.06, BANK)]
FAMILIES = [(w, [t for t in f.split("\n") if t]) for w, f in FAMILIES]
NAMES = "book slot correct move identify ask health chat person bank".split()
INNER, SLOT_RE = re.compile(r"\(([^()]*)\)"), re.compile(r"<(\w+)>")


def expand(r, t):
    while True:
        m = INNER.search(t)
        if not m:
            break
        t = t[:m.start()] + r.choice(m.group(1).split("|")) + t[m.end():]
    return SLOT_RE.sub(lambda m: SLOTS[m.group(1)](r), t)


def plain(marked):
    """Transcript of a marked sentence."""
    return " ".join(re.sub(r"[,.?!]", " ", marked).split())


def front_desk(r, family=None):
    """-> (marked sentence, family)"""
    i = NAMES.index(family) if family else r.choices(range(len(NAMES)), [w for w, _ in FAMILIES])[0]
    s = " ".join(expand(r, r.choice(FAMILIES[i][1])).split())
    s = re.sub(r"\s+([,.?])", r"\1", s)
    s = re.sub(r"\ba (?=(?:[aeio](?!ne\b)|u[lpm])\w|x ray)", "an ", s)
    s = re.sub(r"\ban (?=[bcdfghjklmnpqrstvwyz]\w)", "a ", s)
    s = re.sub(r"\bon (today|tomorrow|next|this)\b", r"\1", s)
    return s, NAMES[i]


def allowed(text, exclude=()):
    return text not in exclude and not any(f in text for f in FORBIDDEN) and len(text.split()) <= 18 and len(text) <= 84


def front_desk_sentences(n, seed, exclude=(), min_words=1, repeat=0.25):
    """n marked sentences; no transcript in `exclude`, few repetitions."""
    r, seen, out = random.Random(seed), set(), []
    while len(out) < n:
        s, _ = front_desk(r)
        p = plain(s)
        if not allowed(p, exclude) or len(p.split()) < min_words or (p in seen and r.random() > repeat):
            continue
        seen.add(p)
        out.append(s)
    return out


def front_desk_eval(n):
    """Held-out sentences of the same grammar (at least four words), removed from training."""
    return front_desk_sentences(n, FRONT_EVAL_SEED, min_words=4, repeat=0.0)


if __name__ == "__main__":
    import collections
    ss = front_desk_sentences(30000, 1)
    c = collections.Counter(w for s in ss for w in plain(s).split())
    print(len({plain(s) for s in ss}), "different of", len(ss), "vocabulary", len(c))
    for s in ss[:60]:
        print(" ", s)
