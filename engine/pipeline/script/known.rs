//! What a script may call: names, how many arguments they take, and what belongs to which type.
//! Taken from the interpreter itself, so that it cannot differ from what runs.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use rhai::{Dynamic, Engine};

use super::parts::{State, Table};
use super::reads::Mail;
use super::time::Time;
use crate::mail::Address;

/// The types that the lint follows through a chain such as `mail.from.domain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mail,
    Address,
    Table,
    State,
    Time,
    /// Anything else; only names and numbers of arguments are checked.
    Other,
}

impl Kind {
    const FOLLOWED: [Kind; 5] = [Kind::Mail, Kind::Address, Kind::Table, Kind::State, Kind::Time];

    fn of(id: TypeId) -> Option<Kind> {
        Self::FOLLOWED.into_iter().find(|kind| kind.id() == Some(id))
    }

    fn id(self) -> Option<TypeId> {
        Some(match self {
            Kind::Mail => TypeId::of::<Mail>(),
            Kind::Address => TypeId::of::<Address>(),
            Kind::Table => TypeId::of::<Table>(),
            Kind::State => TypeId::of::<State>(),
            Kind::Time => TypeId::of::<Time>(),
            Kind::Other => return None,
        })
    }

    /// How the lint names a value of this type.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Kind::Mail => "mail",
            Kind::Address => "an address",
            Kind::Table => "a table",
            Kind::State => "mail.state",
            Kind::Time => "a time",
            Kind::Other => "it",
        }
    }

    /// The type of a member, where it is followed.
    pub(super) fn member(self, name: &str) -> Kind {
        match (self, name) {
            (Kind::Mail, "from") => Kind::Address,
            (Kind::Mail, "table") => Kind::Table,
            (Kind::Mail, "state") => Kind::State,
            (Kind::Mail, "now" | "date" | "received") => Kind::Time,
            _ => Kind::Other,
        }
    }
}

/// All functions of the interpreter.
pub(super) struct Known {
    /// Numbers of parameters by name; a method counts its receiver.
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// Numbers of arguments of methods by type and name, without the receiver.
    methods: BTreeMap<Kind, BTreeMap<String, BTreeSet<usize>>>,
    /// The same of methods that every type has.
    general: BTreeMap<String, BTreeSet<usize>>,
    properties: BTreeMap<Kind, BTreeSet<String>>,
}

impl Known {
    /// Asks the interpreter.
    pub(super) fn of(engine: &Engine) -> Self {
        let all = engine.collect_fn_metadata(
            None,
            |function| {
                let about = function.metadata;
                let first = about.param_types.first().copied();
                Some((about.name.to_string(), about.num_params, first))
            },
            true,
        );
        let mut known = Self {
            functions: special(),
            methods: BTreeMap::new(),
            general: BTreeMap::new(),
            properties: BTreeMap::new(),
        };
        for (name, parameters, first) in all {
            known.add(name, parameters, first);
        }
        known
    }

    fn add(&mut self, name: String, parameters: usize, first: Option<TypeId>) {
        let kind = first.and_then(Kind::of);
        if let Some(property) = name.strip_prefix("get$") {
            if let Some(kind) = kind {
                self.properties.entry(kind).or_default().insert(property.to_owned());
            }
            return;
        }
        if first == Some(TypeId::of::<Dynamic>()) {
            self.general.entry(name.clone()).or_default().insert(parameters - 1);
        }
        if let Some(kind) = kind {
            let methods = self.methods.entry(kind).or_default();
            methods.entry(name.clone()).or_default().insert(parameters - 1);
        }
        self.functions.entry(name).or_default().insert(parameters);
    }

    /// Numbers of parameters that a function takes; a method's receiver counts.
    pub(super) fn function(&self, name: &str) -> Option<&BTreeSet<usize>> {
        self.functions.get(name)
    }

    /// All functions' names that a person can write.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let written = |name: &&str| name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        self.functions.keys().map(String::as_str).filter(written)
    }

    /// Numbers of arguments that a method of a type takes.
    pub(super) fn method(&self, kind: Kind, name: &str) -> Option<&BTreeSet<usize>> {
        let own = self.methods.get(&kind).and_then(|methods| methods.get(name));
        own.or_else(|| self.general.get(name))
    }

    /// Whether a type has a property.
    pub(super) fn property(&self, kind: Kind, name: &str) -> bool {
        self.properties.get(&kind).is_some_and(|all| all.contains(name))
    }

    /// Names of a type's own properties and methods.
    pub(super) fn members(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let properties = self.properties.get(&kind).into_iter().flatten();
        let methods = self.methods.get(&kind).into_iter().flat_map(BTreeMap::keys);
        let written = |name: &&str| name.starts_with(|c: char| c.is_alphabetic());
        properties.chain(methods).map(String::as_str).filter(written)
    }
}

/// What rhai treats as a part of the language and names nowhere.
fn special() -> BTreeMap<String, BTreeSet<usize>> {
    let special: [(&str, &[usize]); 10] = [
        ("print", &[1]),
        ("debug", &[1]),
        ("type_of", &[1]),
        ("Fn", &[1]),
        ("is_shared", &[1]),
        ("is_def_var", &[1]),
        ("is_def_fn", &[2, 3]),
        ("call", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("curry", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("eval", &[1]),
    ];
    special
        .into_iter()
        .map(|(name, takes)| (name.into(), takes.iter().copied().collect()))
        .collect()
}
