//! Links a message to its projects and records which evidence decided it.
//!
//! The first evidence that decides wins: the account's project, a plus-address, the reply to a known
//! message, references to known messages with the same subject, the token of a known project in the
//! subject, an alias that is a project's. Only headers are read, so no body is ever fetched for it
//! and what a body quotes counts for nothing.
//!
//! ```toml
//! { plugin = "project-link", with = { token = '\[([A-Z]+-\d+)\]', table = "projects" } }
//! ```

mod evidence;
mod memory;
mod settings;
mod token;

use mailmill_plugin::{Description, Direction, Mail, Step, export_step};

use evidence::Found;
use settings::Settings;

/// The plugin.
pub struct ProjectLink;

impl Step for ProjectLink {
    const DESCRIPTION: Description = Description {
        name: "project-link",
        version: env!("CARGO_PKG_VERSION"),
        about: "links a message to its projects and records which evidence decided it",
        directions: &[Direction::Inbound, Direction::Outbound],
    };

    fn inbound(mail: &Mail) -> Result<(), String> {
        let settings = Settings::of(mail)?;
        if let Some(found) = evidence::of_arrived(mail, &settings) {
            say(mail, &found);
            memory::remember_message(mail, &found);
            memory::remember_sender(mail, &found);
        }
        Ok(())
    }

    /// What we send is linked as well, and remembered, so that its answers link.
    fn outbound(mail: &Mail) -> Result<(), String> {
        let settings = Settings::of(mail)?;
        if let Some(found) = evidence::of_sent(mail, &settings) {
            say(mail, &found);
            memory::remember_message(mail, &found);
        }
        Ok(())
    }
}

export_step!(ProjectLink);

fn say(mail: &Mail, found: &Found) {
    if found.is_said() {
        return;
    }
    for project in &found.projects {
        mail.link(project, &found.evidence());
    }
    if found.projects.len() > 1 {
        mail.tag("project-ambiguous", "yes");
    }
    if !found.verified() {
        mail.tag("project-unverified", "yes");
    }
}
