//! The graph can be walked: from the start to an end, never stuck, never in a circle without the
//! caller.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{BACK, Edge, Node, When};
use crate::problem::{Place, Problem, suggest};
use crate::read::Definition;
use crate::workflow::is_back;

pub(crate) fn graph(definition: &Definition) -> Vec<Problem> {
    let mut problems = Vec::new();
    starts(definition, &mut problems);
    ids(definition, &mut problems);
    edges(definition, &mut problems);
    if problems.is_empty() {
        // The following read the graph, so it must hold together.
        let ways = ways(definition);
        dead_ends(definition, &ways, &mut problems);
        reach(definition, &ways, &mut problems);
        circles(definition, &ways, &mut problems);
    }
    problems
}

fn starts(definition: &Definition, problems: &mut Vec<Problem>) {
    let starts: Vec<&str> = definition
        .nodes
        .iter()
        .filter(|node| matches!(node, Node::Start(_)))
        .map(Node::id)
        .collect();
    match starts[..] {
        [] => problems.push(Place::document().problem(
            "nodes",
            "no node is the start",
            "add a node of the type \"start\"",
        )),
        [_] => {}
        [first, second, ..] => problems.push(Place::node(second).problem(
            "type",
            format!("a call cannot begin here and in node {first:?}"),
            "keep one start and make the other an agent node",
        )),
    }
}

fn ids(definition: &Definition, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for id in definition.nodes.iter().map(Node::id) {
        if !seen.insert(id) {
            problems.push(Place::node(id).problem(
                "id",
                "another node has the same id",
                "rename one",
            ));
        }
        if id.is_empty() || id == BACK {
            problems.push(Place::node(id).problem(
                "id",
                "this cannot be an id",
                "write a short name",
            ));
        }
    }
}

fn edges(definition: &Definition, problems: &mut Vec<Problem>) {
    let ids = || definition.nodes.iter().map(Node::id);
    let find = |id: &str| definition.nodes.iter().find(|node| node.id() == id);
    for (number, edge) in (1..).zip(&definition.edges) {
        for from in edge.from.names() {
            let place = Place::edge(number, from, &edge.to);
            match find(from) {
                None => problems.push(place.problem(
                    "from",
                    format!("there is no node {from:?}"),
                    suggest(from, ids()),
                )),
                Some(Node::End(_)) => problems.push(place.problem(
                    "from",
                    "the call is over at an end node",
                    "remove the edge, or make the node an agent node",
                )),
                Some(node) => check_way(node, edge, &place, problems),
            }
        }
        if edge.from.names().is_empty() {
            problems.push(Place::edge(number, "", &edge.to).problem(
                "from",
                "the edge comes from nowhere",
                "name a node",
            ));
        }
        let place = Place::edge(
            number,
            edge.from.names().first().map_or("", String::as_str),
            &edge.to,
        );
        match find(&edge.to) {
            Some(Node::Start(_)) => problems.push(place.problem(
                "to",
                "the start cannot be entered again",
                "lead to the node after it",
            )),
            None if !is_back(&edge.to) => problems.push(place.problem(
                "to",
                format!("there is no node {:?}", edge.to),
                suggest(&edge.to, ids().chain([BACK])),
            )),
            _ => {}
        }
    }
}

/// The condition of an edge makes sense for the node that it leaves.
fn check_way(node: &Node, edge: &Edge, place: &Place, problems: &mut Vec<Problem>) {
    let heard_only = matches!(edge.when, When::Event(_) | When::Intent(_));
    if heard_only && !node.listens() {
        problems.push(place.problem(
            "when",
            "the caller is not listened to at that node, so this cannot happen",
            "give the node slots, or use \"always\" or an expression",
        ));
    }
    if is_back(&edge.to) && node.listens() {
        problems.push(place.problem(
            "to",
            "the node listens to the caller itself",
            format!("{BACK:?} is for nodes without slots"),
        ));
    }
}

/// Per node: its index, and whether the way is always open once the slots are filled.
struct Ways {
    next: Vec<BTreeSet<usize>>,
    has_always: Vec<bool>,
    has_regular: Vec<bool>,
}

fn ways(definition: &Definition) -> Ways {
    let index: BTreeMap<&str, usize> = definition.nodes.iter().map(Node::id).zip(0..).collect();
    let count = definition.nodes.len();
    let mut ways = Ways {
        next: vec![BTreeSet::new(); count],
        has_always: vec![false; count],
        has_regular: vec![false; count],
    };
    let listening: Vec<usize> = (0..count)
        .filter(|node| definition.nodes[*node].listens())
        .collect();
    for edge in &definition.edges {
        for from in edge
            .from
            .names()
            .iter()
            .filter_map(|id| index.get(id.as_str()))
        {
            match index.get(edge.to.as_str()) {
                Some(to) => ways.next[*from].extend([*to]),
                None => ways.next[*from].extend(listening.iter().copied()),
            }
            ways.has_always[*from] |= matches!(edge.when, When::Always);
            ways.has_regular[*from] |= matches!(edge.when, When::Always | When::Expression(_));
        }
    }
    ways
}

fn dead_ends(definition: &Definition, ways: &Ways, problems: &mut Vec<Problem>) {
    for (index, node) in definition.nodes.iter().enumerate() {
        if matches!(node, Node::End(_)) {
            continue;
        }
        if !ways.has_regular[index] {
            problems.push(Place::node(node.id()).problem(
                "",
                "no edge leads out of it",
                "add an edge to the node that follows",
            ));
        } else if !node.listens() && !ways.has_always[index] {
            problems.push(Place::node(node.id()).problem(
                "",
                "the call is stuck here when none of the expressions is true",
                "add an edge without a condition",
            ));
        }
    }
}

fn closure(from: impl IntoIterator<Item = usize>, next: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut reached: BTreeSet<usize> = from.into_iter().collect();
    let mut open: Vec<usize> = reached.iter().copied().collect();
    while let Some(node) = open.pop() {
        open.extend(next[node].iter().copied().filter(|to| reached.insert(*to)));
    }
    reached
}

fn reach(definition: &Definition, ways: &Ways, problems: &mut Vec<Problem>) {
    let count = definition.nodes.len();
    let are =
        |wanted: fn(&Node) -> bool| (0..count).filter(move |node| wanted(&definition.nodes[*node]));
    let from_start = closure(are(|node| matches!(node, Node::Start(_))), &ways.next);
    let mut before = vec![BTreeSet::new(); count];
    for (from, next) in ways.next.iter().enumerate() {
        for to in next {
            before[*to].insert(from);
        }
    }
    let to_end = closure(are(|node| matches!(node, Node::End(_))), &before);
    for (index, node) in definition.nodes.iter().enumerate() {
        let place = Place::node(node.id());
        if !from_start.contains(&index) {
            problems.push(place.problem(
                "",
                "no way leads here from the start",
                "add an edge to it, or remove it",
            ));
        } else if !to_end.contains(&index) && ways.has_regular[index] {
            problems.push(place.problem(
                "",
                "no way leads from here to an end",
                "add an edge towards a node of the type \"end\"",
            ));
        }
    }
}

/// Circles of nodes that neither listen nor end would talk for ever.
fn circles(definition: &Definition, ways: &Ways, problems: &mut Vec<Problem>) {
    let silent: Vec<BTreeSet<usize>> = ways
        .next
        .iter()
        .map(|next| {
            let passes = |to: &usize| {
                !definition.nodes[*to].listens() && !matches!(definition.nodes[*to], Node::End(_))
            };
            next.iter().copied().filter(passes).collect()
        })
        .collect();
    for (index, node) in definition.nodes.iter().enumerate() {
        if !node.listens() && closure(silent[index].iter().copied(), &silent).contains(&index) {
            problems.push(Place::node(node.id()).problem(
                "",
                "edges lead from here back to here without listening to the caller",
                "put a node with slots in between",
            ));
        }
    }
}
