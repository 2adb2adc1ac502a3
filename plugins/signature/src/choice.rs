//! Which of several names counts.

/// Says that there is to be no signature.
pub(crate) const NONE: &str = "none";

/// What each of them names; empty is as good as nothing.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) project: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) default: Option<String>,
}

/// What was chosen, and who named it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) template: String,
    pub(crate) by: &'static str,
}

impl Sources {
    /// The first that names any.
    pub(crate) fn choose(self) -> Option<Choice> {
        let Self { project, account, user, default } = self;
        let all =
            [("project", project), ("account", account), ("user", user), ("default", default)];
        all.into_iter().find_map(|(by, named)| {
            let template = named?.trim().to_owned();
            (!template.is_empty()).then_some(Choice { template, by })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Sources};

    fn named(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn the_first_that_names_one_counts() {
        let chosen =
            |sources: Sources| sources.choose().map(|Choice { template, by }| (template, by));
        let all = || Sources {
            project: named("p"),
            account: named("a"),
            user: named("u"),
            default: named("d"),
        };
        assert_eq!(chosen(all()), Some(("p".into(), "project")));
        assert_eq!(chosen(Sources { project: named(" "), ..all() }), Some(("a".into(), "account")));
        let without = Sources { project: None, account: None, ..all() };
        assert_eq!(chosen(without), Some(("u".into(), "user")));
        let default = Sources { default: named("d "), ..Sources::default() };
        assert_eq!(chosen(default), Some(("d".into(), "default")));
        assert_eq!(chosen(Sources::default()), None);
    }
}
