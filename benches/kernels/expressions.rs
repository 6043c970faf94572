//! Expressions: text is parsed into a tree on the heap, simplified, and evaluated through a trait,
//! with the standard library's strings, vectors and ordered maps.

use std::collections::BTreeMap;

/// A tree.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Number(i64),
    Name(String),
    Negated(Box<Tree>),
    Binary(char, Box<Tree>, Box<Tree>),
}
use Tree::{Binary, Name, Negated, Number};

/// What is wrong with a text.
#[derive(Debug)]
enum Mistake {
    Unexpected(char),
    TooShort,
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Tree, Mistake> {
        let mut left = self.product()?;
        while let Some(sign) = self.rest.next_if(|c| matches!(c, '+' | '-')) {
            left = Binary(sign, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Tree, Mistake> {
        let mut left = self.factor()?;
        while let Some(sign) = self.rest.next_if(|c| matches!(c, '*' | '/' | '%')) {
            left = Binary(sign, Box::new(left), Box::new(self.factor()?));
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Tree, Mistake> {
        match self.rest.next().ok_or(Mistake::TooShort)? {
            '-' => Ok(Negated(Box::new(self.factor()?))),
            '(' => {
                let inner = self.sum()?;
                match self.rest.next() {
                    Some(')') => Ok(inner),
                    Some(other) => Err(Mistake::Unexpected(other)),
                    None => Err(Mistake::TooShort),
                }
            }
            digit @ '0'..='9' => {
                let mut number = i64::from(digit as u32 - '0' as u32);
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    number = number * 10 + i64::from(digit as u32 - '0' as u32);
                }
                Ok(Number(number))
            }
            letter if letter.is_alphabetic() => {
                let mut name = String::from(letter);
                while let Some(letter) = self.rest.next_if(|c| c.is_alphanumeric()) {
                    name.push(letter);
                }
                Ok(Name(name))
            }
            other => Err(Mistake::Unexpected(other)),
        }
    }
}

fn calculate(sign: char, a: i64, b: i64) -> i64 {
    match sign {
        '+' => a.wrapping_add(b),
        '-' => a.wrapping_sub(b),
        '*' => a.wrapping_mul(b),
        '/' => a.checked_div(b).unwrap_or(0),
        _ => a.checked_rem(b).unwrap_or(0),
    }
}

/// Folds constants and what has no effect.
fn simplify(tree: Tree) -> Tree {
    match tree {
        Negated(inner) => match simplify(*inner) {
            Number(n) => Number(n.wrapping_neg()),
            Negated(inner) => *inner,
            other => Negated(Box::new(other)),
        },
        Binary(sign, a, b) => match (sign, simplify(*a), simplify(*b)) {
            (sign, Number(a), Number(b)) => Number(calculate(sign, a, b)),
            ('+', Number(0), other) | ('+' | '-', other, Number(0)) => other,
            ('*', Number(1), other) | ('*' | '/', other, Number(1)) => other,
            ('-', a, b) if a == b => Number(0),
            (sign, a, b) => Binary(sign, Box::new(a), Box::new(b)),
        },
        other => other,
    }
}

/// What names stand for.
trait Scope {
    fn value(&self, name: &str) -> Option<i64>;
}

impl Scope for BTreeMap<String, i64> {
    fn value(&self, name: &str) -> Option<i64> {
        self.get(name).copied()
    }
}

/// A scope in which some names are hidden by another's.
struct Nested<'a> {
    inner: BTreeMap<String, i64>,
    outer: &'a dyn Scope,
}

impl Scope for Nested<'_> {
    fn value(&self, name: &str) -> Option<i64> {
        self.inner.value(name).or_else(|| self.outer.value(name))
    }
}

fn evaluate(tree: &Tree, scope: &dyn Scope) -> i64 {
    match tree {
        Number(n) => *n,
        Name(name) => scope.value(name).unwrap_or(-1),
        Negated(inner) => evaluate(inner, scope).wrapping_neg(),
        Binary(sign, a, b) => calculate(*sign, evaluate(a, scope), evaluate(b, scope)),
    }
}

fn next_random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

fn write_text(text: &mut String, depth: u32, seed: &mut u32) {
    let pick = next_random(seed) >> 3;
    match pick % 8 {
        0 | 1 if depth > 0 => {
            text.push('(');
            write_text(text, depth - 1, seed);
            text.push(')');
        }
        2..=5 if depth > 0 => {
            write_text(text, depth - 1, seed);
            text.push(['+', '-', '*', '/', '%', '+', '*', '-'][(pick >> 4) as usize & 7]);
            write_text(text, depth - 1, seed);
        }
        6 => text.push_str(["width", "height", "x", "load", "safety", "days"][pick as usize / 8 % 6]),
        _ => text.push_str(&(pick % 100).to_string()),
    }
}

/// Parses, simplifies and evaluates `n` expressions.
#[unsafe(no_mangle)]
pub extern "C" fn run(n: i32) -> i64 {
    let mut seed = 1357924680u32;
    let outer: BTreeMap<String, i64> = ["width", "height", "load", "x"]
        .iter()
        .zip([12, 7, 500, 3])
        .map(|(name, value)| ((*name).to_owned(), value))
        .collect();
    let mut results = Vec::new();
    let mut text = String::new();
    for round in 0..n {
        text.clear();
        write_text(&mut text, 7, &mut seed);
        if round % 64 == 0 {
            text.push(')');
        }
        let mut parser = Parser {
            rest: text.chars().peekable(),
        };
        let inner = BTreeMap::from([("x".to_owned(), i64::from(round)), ("days".to_owned(), 28)]);
        let scope = Nested { inner, outer: &outer };
        let result = match parser.sum() {
            Ok(tree) if parser.rest.peek().is_none() => evaluate(&simplify(tree), &scope),
            Ok(_) | Err(Mistake::TooShort) => -2,
            Err(Mistake::Unexpected(c)) => i64::from(c as u32),
        };
        results.push((result, text.len()));
    }
    results.sort_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
    results
        .iter()
        .enumerate()
        .fold(0, |sum: i64, (i, (result, length))| {
            sum.wrapping_mul(31).wrapping_add(result ^ (*length as i64) << 20 ^ i as i64)
        })
}
