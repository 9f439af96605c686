//! JSON documents, value by value. The order of keys never counts; Numbers are what their digits come to: 1 and
//! 1.0 are the same.
//!
//! Two lists of the same length are compared element by element. Where several differ and are the same ones in another
//! order, that is one difference. Of lists of different lengths what they begin and end with in common is passed over,
//! and the rest is compared in pairs.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};

use super::findings::BodyFindings;
use super::path::{self, PathStep};
use super::rules::{JsonRules, PathState};
use super::shown;
use super::tree::TreeNode;
use super::{Difference, DifferenceKind};

/// Most values visited in one comparison, repeated visits included. Beyond it there may be more differences than
/// reported. A document of 256 KiB has some 10,000 values.
const MAX_LOOKS: u32 = 200_000;
/// Looks that one difference costs: its path is written, and looked for among the others.
const DIFFERENCE_LOOKS: u32 = 10;
/// Bytes of a text that cost a look each time that they are read: hashing lists within lists reads them at each level.
const LOOK_BYTES: usize = 256;

/// Returns the differences of two documents under these rules.
pub(super) fn compare(rules: &JsonRules, production: &TreeNode<'_>, shadow: &TreeNode<'_>) -> Vec<Difference> {
    let mut walk = JsonComparer {
        rules,
        trail: Vec::new(),
        found: BodyFindings::default(),
        left: MAX_LOOKS,
        hasher: foldhash::fast::FixedState::default(),
    };
    walk.values(production, shadow, &rules.root());
    if walk.left == 0 {
        walk.found.give_up();
    }
    walk.found.finish()
}

struct JsonComparer<'r, 'a> {
    rules: &'r JsonRules,
    /// The way to where the comparison is.
    trail: Vec<PathStep<'a>>,
    found: BodyFindings,
    /// Looks that are left.
    left: u32,
    hasher: foldhash::fast::FixedState,
}

/// A member of an object.
type ObjectMember<'a> = (Cow<'a, str>, TreeNode<'a>);

impl<'a> JsonComparer<'_, 'a> {
    /// False where no look is left.
    const fn look(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// Texts cost by their length.
    fn read(&mut self, text: &str) {
        self.left = self.left.saturating_sub(u32::try_from(text.len() / LOOK_BYTES).unwrap_or(u32::MAX));
    }

    fn add(&mut self, kind: DifferenceKind, production: Option<&TreeNode<'_>>, shadow: Option<&TreeNode<'_>>) {
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(DIFFERENCE_LOOKS);
        let (trail, secrets) = (&self.trail, &self.rules.secrets);
        self.found.add(path::general(trail), kind, || {
            let (production, shadow) = shown::nodes(trail, production, shadow, secrets);
            (path::exact(trail), production, shadow)
        });
    }

    /// Compares what is inside two values, at one step from where they are.
    fn inside(
        &mut self,
        step: PathStep<'a>,
        at: &PathState,
        one: Option<&'a TreeNode<'a>>,
        other: Option<&'a TreeNode<'a>>,
    ) {
        if self.left == 0 {
            return;
        }
        let reached = self.rules.inside(at, step);
        if reached.is_ignored() {
            return;
        }
        self.trail.push(step);
        match (one, other) {
            (Some(one), Some(other)) => self.values(one, other, &reached),
            (Some(_), None) => self.add(DifferenceKind::Missing, one, None),
            (None, _) => self.add(DifferenceKind::Extra, None, other),
        }
        self.trail.pop();
    }

    fn values(&mut self, one: &'a TreeNode<'a>, other: &'a TreeNode<'a>, at: &PathState) {
        if at.is_ignored() || !self.look() {
            return;
        }
        let (one, other) = (one.resolved(), other.resolved());
        if std::ptr::eq(one, other) && !at.leads_on() {
            return;
        }
        match (one, other) {
            (TreeNode::Object(a, _), TreeNode::Object(b, _)) => self.objects(a, b, at),
            (TreeNode::List(a, _), TreeNode::List(b, _)) if at.has_no_order() => self.sets(a, b, at),
            (TreeNode::List(a, _), TreeNode::List(b, _)) if a.len() == b.len() => self.lists((one, a), (other, b), at),
            (TreeNode::List(a, _), TreeNode::List(b, _)) => self.longer(a, b, at),
            _ if scalars(one, other) => {}
            _ => {
                let kind = if type_of(one) == type_of(other) { DifferenceKind::Value } else { DifferenceKind::Type };
                self.add(kind, Some(one), Some(other));
            }
        }
    }

    fn objects(&mut self, a: &'a [ObjectMember<'a>], b: &'a [ObjectMember<'a>], at: &PathState) {
        if in_step(a, b) {
            for ((key, one), (_, other)) in a.iter().zip(b) {
                self.inside(PathStep::Key(key), at, Some(one), Some(other));
            }
            return;
        }
        for (one, other) in pairs(a, b) {
            let Some((key, _)) = one.or(other) else { continue };
            self.inside(PathStep::Key(key), at, one.map(|(_, value)| value), other.map(|(_, value)| value));
        }
    }

    /// Lists of the same length.
    fn lists(
        &mut self,
        (one, a): (&'a TreeNode<'a>, &'a [TreeNode<'a>]),
        (other, b): (&'a TreeNode<'a>, &'a [TreeNode<'a>]),
        at: &PathState,
    ) {
        let mark = self.found.mark();
        let mut differ = 0;
        for (index, (one, other)) in a.iter().zip(b).enumerate() {
            let before = self.found.total();
            self.inside(PathStep::Index(index), at, Some(one), Some(other));
            differ += u32::from(self.found.total() > before);
        }
        // Without a look left all hashes are the same.
        if differ > 1 && self.sorted(a, at) == self.sorted(b, at) && self.left > 0 {
            self.found.back_to(&mark);
            self.add(DifferenceKind::Order, Some(one), Some(other));
        }
    }

    /// Lists of different lengths.
    fn longer(&mut self, a: &'a [TreeNode<'a>], b: &'a [TreeNode<'a>], at: &PathState) {
        let least = a.len().min(b.len());
        let mut before = 0;
        while before < least && self.are_same((a, before), (b, before), at) {
            before += 1;
        }
        let mut after = 0;
        while after < least - before && self.are_same((a, a.len() - 1 - after), (b, b.len() - 1 - after), at) {
            after += 1;
        }
        let inner = |list: &'a [TreeNode<'a>]| list.get(before..list.len() - after).unwrap_or_default();
        let (a, b) = (inner(a), inner(b));
        for at_both in 0..a.len().max(b.len()) {
            self.inside(PathStep::Index(before + at_both), at, a.get(at_both), b.get(at_both));
        }
    }

    /// Lists whose order does not count: what one has and the other has not is compared in pairs, in its order.
    fn sets(&mut self, a: &'a [TreeNode<'a>], b: &'a [TreeNode<'a>], at: &PathState) {
        let (sorted_a, sorted_b) = (self.sorted(a, at), self.sorted(b, at));
        let (left_a, left_b) = (without(&sorted_a, &sorted_b), without(&sorted_b, &sorted_a));
        for pair in 0..left_a.len().max(left_b.len()) {
            let (in_a, in_b) = (left_a.get(pair).copied(), left_b.get(pair).copied());
            let Some(index) = in_a.or(in_b) else { break };
            self.inside(PathStep::Index(index), at, in_a.and_then(|at| a.get(at)), in_b.and_then(|at| b.get(at)));
        }
    }

    /// The hashes of all elements with their places, in the order of the hashes.
    fn sorted(&mut self, list: &[TreeNode<'_>], at: &PathState) -> HashedElements {
        let hashed = list.iter().enumerate().map(|(index, item)| {
            let reached = self.rules.inside(at, PathStep::Index(index));
            (self.hash(item, &reached), index)
        });
        let mut hashed: Vec<_> = hashed.collect();
        hashed.sort_unstable();
        HashedElements(hashed)
    }

    fn are_same(&mut self, (a, i): (&[TreeNode<'_>], usize), (b, j): (&[TreeNode<'_>], usize), at: &PathState) -> bool {
        let (Some(one), Some(other)) = (a.get(i), b.get(j)) else { return false };
        let (at_i, at_j) = (self.rules.inside(at, PathStep::Index(i)), self.rules.inside(at, PathStep::Index(j)));
        self.hash(one, &at_i) == self.hash(other, &at_j) && self.left > 0
    }

    /// The same for values that are the same under the rules, and else for two of 2^64.
    fn hash(&mut self, node: &TreeNode<'_>, at: &PathState) -> u64 {
        if at.is_ignored() || !self.look() {
            return 0;
        }
        let mut hash = self.hasher.build_hasher();
        match node.resolved() {
            // It is resolved, and a value that was read anew is none of these.
            TreeNode::Null | TreeNode::Same(_) => hash.write_u8(0),
            TreeNode::Bool(value) => hash.write_u8(1 + u8::from(*value)),
            TreeNode::Number(number) => {
                hash.write_u8(3);
                self.read(number.text());
                number.hash(&mut hash);
            }
            TreeNode::Text(text) => {
                hash.write_u8(4);
                self.read(text);
                text.hash(&mut hash);
            }
            TreeNode::Unpaired(text) => {
                hash.write_u8(7);
                self.read(text);
                text.hash(&mut hash);
            }
            TreeNode::List(items, _) => {
                hash.write_u8(5);
                let mut sum = 0_u64;
                for (index, item) in items.iter().enumerate() {
                    let reached = self.rules.inside(at, PathStep::Index(index));
                    let item = self.hash(item, &reached);
                    if at.has_no_order() {
                        sum = sum.wrapping_add(spread(item));
                    } else {
                        hash.write_u64(item);
                    }
                }
                hash.write_u64(sum);
            }
            TreeNode::Object(members, _) => {
                hash.write_u8(6);
                let mut sum = 0_u64;
                for (key, value) in members {
                    let reached = self.rules.inside(at, PathStep::Key(key));
                    if !reached.is_ignored() {
                        let mut member = self.hasher.build_hasher();
                        self.read(key);
                        key.hash(&mut member);
                        member.write_u64(self.hash(value, &reached));
                        sum = sum.wrapping_add(spread(member.finish()));
                    }
                }
                hash.write_u64(sum);
            }
        }
        hash.finish()
    }
}

/// Hashes of elements with their places, in the order of the hashes; equal where the elements are the same.
struct HashedElements(Vec<(u64, usize)>);

impl PartialEq for HashedElements {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(hash, _)| hash).eq(other.0.iter().map(|(hash, _)| hash))
    }
}

/// The places of what one list has and the other has not, in their order.
fn without(one: &HashedElements, other: &HashedElements) -> Vec<usize> {
    let mut rest = other.0.iter().peekable();
    let mut left: Vec<usize> = Vec::new();
    for (hash, index) in &one.0 {
        while rest.next_if(|(other, _)| other < hash).is_some() {}
        if rest.next_if(|(other, _)| other == hash).is_none() {
            left.push(*index);
        }
    }
    left.sort_unstable();
    left
}

/// Spreads a hash over all bits once more, so that a sum of hashes discriminates better.
const fn spread(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// Returns whether two objects have the same keys in the same order, as most do.
fn in_step(a: &[ObjectMember<'_>], b: &[ObjectMember<'_>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a, _), (b, _))| a == b)
}

/// Members of both by key: in the order of the first object, and then those that only the second has.
fn pairs<'n, 'a>(
    a: &'n [ObjectMember<'a>],
    b: &'n [ObjectMember<'a>],
) -> Vec<(Option<&'n ObjectMember<'a>>, Option<&'n ObjectMember<'a>>)> {
    let sorted = |members: &'n [ObjectMember<'a>]| {
        let mut members: Vec<&'n ObjectMember<'a>> = members.iter().collect();
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        members
    };
    let find = |members: &[&'n ObjectMember<'a>], key: &str| {
        let at = members.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
        members.get(at).copied()
    };
    let (by_key_a, by_key_b) = (sorted(a), sorted(b));
    let both = a.iter().map(|member| (Some(member), find(&by_key_b, &member.0)));
    let extra = b.iter().filter(|member| find(&by_key_a, &member.0).is_none()).map(|member| (None, Some(member)));
    both.chain(extra).collect()
}

/// Returns whether two scalar values are the same.
fn scalars(one: &TreeNode<'_>, other: &TreeNode<'_>) -> bool {
    match (one, other) {
        (TreeNode::Null, TreeNode::Null) => true,
        (TreeNode::Bool(a), TreeNode::Bool(b)) => a == b,
        (TreeNode::Text(a), TreeNode::Text(b)) => a == b,
        (TreeNode::Unpaired(a), TreeNode::Unpaired(b)) => a == b,
        (TreeNode::Number(a), TreeNode::Number(b)) => a == b,
        _ => false,
    }
}

const fn type_of(node: &TreeNode<'_>) -> u8 {
    match node {
        TreeNode::Null | TreeNode::Same(_) => 0,
        TreeNode::Bool(_) => 1,
        TreeNode::Number(_) => 2,
        TreeNode::Text(_) | TreeNode::Unpaired(_) => 3,
        TreeNode::List(..) => 4,
        TreeNode::Object(..) => 5,
    }
}
