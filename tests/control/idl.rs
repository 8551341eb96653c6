//! As much of Varlink's interface language as it takes to hold the file against what goes over the socket.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Named(String),
    Maybe(Box<Type>),
    Array(Box<Type>),
    Struct(Vec<(String, Type)>),
    Enum(Vec<String>),
}

#[derive(Debug, Default)]
pub struct Interface {
    pub name: String,
    pub types: BTreeMap<String, Type>,
    pub methods: BTreeMap<String, (Type, Type)>,
    pub errors: BTreeMap<String, Type>,
}

struct Tokens(Vec<String>);

impl Tokens {
    fn next(&mut self) -> String {
        self.0.pop().expect("more tokens")
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.0.last().is_some_and(|t| t == token);
        if found {
            self.0.pop();
        }
        found
    }

    fn kind(&mut self) -> Type {
        if self.eat("?") {
            return Type::Maybe(Box::new(self.kind()));
        }
        if self.eat("[]") {
            return Type::Array(Box::new(self.kind()));
        }
        if !self.eat("(") {
            return Type::Named(self.next());
        }
        let (mut fields, mut names) = (Vec::new(), Vec::new());
        while !self.eat(")") {
            let name = self.next();
            match self.eat(":") {
                true => fields.push((name, self.kind())),
                false => names.push(name),
            }
            assert!(self.eat(",") || self.0.last().is_some_and(|t| t == ")"), "a comma after {fields:?}");
        }
        if names.is_empty() { Type::Struct(fields) } else { Type::Enum(names) }
    }
}

impl Interface {
    pub fn parse(text: &str) -> Interface {
        let mut spaced: String =
            text.lines().map(|line| line.split('#').next().unwrap_or_default().to_string() + "\n").collect();
        for mark in ["->", "(", ")", ":", ",", "?", "[]"] {
            spaced = spaced.replace(mark, &format!(" {mark} "));
        }
        let mut tokens = Tokens(spaced.split_whitespace().rev().map(str::to_string).collect());
        let mut interface = Interface::default();
        while !tokens.0.is_empty() {
            let (word, name) = (tokens.next(), tokens.next());
            match word.as_str() {
                "interface" => interface.name = name,
                "type" => drop(interface.types.insert(name, tokens.kind())),
                "error" => drop(interface.errors.insert(name, tokens.kind())),
                "method" => {
                    let input = tokens.kind();
                    assert!(tokens.eat("->"), "{name}");
                    interface.methods.insert(name, (input, tokens.kind()));
                }
                other => panic!("{other}"),
            }
        }
        interface
    }

    /// Says what of `value` is not of type `kind`; every field of a struct must be there, and no other.
    pub fn check(&self, kind: &Type, value: &Value, at: &str) {
        match kind {
            Type::Maybe(_) if value.is_null() => {}
            Type::Maybe(kind) => self.check(kind, value, at),
            Type::Array(kind) => {
                let values = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no array"));
                values.iter().for_each(|value| self.check(kind, value, &format!("{at}[]")));
            }
            Type::Enum(names) => {
                assert!(names.iter().any(|name| value == name), "{at}: {value} is none of {names:?}");
            }
            Type::Struct(fields) => {
                let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
                let mut declared: Vec<&String> = fields.iter().map(|(name, _)| name).collect();
                declared.sort();
                let mut sent: Vec<&String> = object.keys().collect();
                sent.sort();
                assert_eq!(sent, declared, "{at}");
                fields
                    .iter()
                    .for_each(|(name, kind)| self.check(kind, &object[name], &format!("{at}.{name}")));
            }
            Type::Named(name) => match name.as_str() {
                "int" => assert!(value.is_i64() || value.is_u64(), "{at}: {value} is no int"),
                "float" => assert!(value.is_number(), "{at}: {value} is no float"),
                "bool" => assert!(value.is_boolean(), "{at}: {value} is no bool"),
                "string" => assert!(value.is_string(), "{at}: {value} is no string"),
                "object" => assert!(value.is_object(), "{at}: {value} is no object"),
                name => {
                    self.check(self.types.get(name).unwrap_or_else(|| panic!("{at}: {name}?")), value, at)
                }
            },
        }
    }
}
