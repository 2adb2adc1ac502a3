//! Chooses the signature of a message that leaves: its project's, else its account's, else its
//! user's, else the default.
//!
//! A signature is named in the column `signature` of the tables `projects`, `accounts` and `users`, or
//! in `with`; `none` says that there is to be none. It is the name of a template; one that does not
//! exist fails the step, so that nothing leaves with a wrong signature. Only headers are read.
//!
//! ```toml
//! { plugin = "signature", with = { default = "firm", accounts = { office = "office" } } }
//! ```

mod choice;
mod settings;

use mailmill_plugin::{Description, Direction, Mail, Step, export_step};

use choice::{Choice, Sources};
use settings::Settings;

/// The plugin.
pub struct Signature;

impl Step for Signature {
    const DESCRIPTION: Description = Description {
        name: "signature",
        version: env!("CARGO_PKG_VERSION"),
        about: "chooses the signature: the project's, else the account's, else the user's",
        directions: &[Direction::Outbound],
    };

    fn outbound(mail: &Mail) -> Result<(), String> {
        let settings = Settings::of(mail)?;
        let Some(Choice { template, by }) = sources(mail, &settings).choose() else {
            return Ok(());
        };
        mail.tag("signature", &template);
        mail.tag("signature-by", by);
        if template != choice::NONE {
            mail.sign(&template);
        }
        Ok(())
    }
}

export_step!(Signature);

/// What each of them names, in their order.
fn sources(mail: &Mail, settings: &Settings) -> Sources {
    let account = mail.account();
    let named = |table: &str, key: &str| mail.row(table, key)?.get(&settings.column).cloned();
    let of_account = || mail.row("accounts", &account)?.get("project").cloned();
    let project = mail.project().or_else(of_account).filter(|project| !project.is_empty());
    let user = mail.user().unwrap_or_default();
    Sources {
        project: project.and_then(|project| named("projects", &project)),
        account: settings.accounts.get(&account).cloned().or_else(|| named("accounts", &account)),
        user: settings.users.get(&user).cloned().or_else(|| named("users", &user)),
        default: settings.default.clone(),
    }
}
