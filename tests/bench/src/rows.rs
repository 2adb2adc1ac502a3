//! The rows of the table: which client, over which link, on which mail.

use crate::bare::Part;
use crate::peers::{Client, Link, Rules};

/// Which mail a row sorts; rows are compared within one load only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// The mailbox of the job.
    Main,
    /// Its first 300 messages, for what is far away.
    Few,
    /// 100,000 small messages.
    Many,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) link: Link,
    pub(crate) load: Load,
}

const fn row(name: &'static str, client: Client, link: Link, load: Load) -> Row {
    Row { name, client, link, load }
}

const MILL: Client = Client::Mailmill(Rules::PluginAndScript);

/// All rows. The first of each load is what the others are compared with.
pub(crate) const ROWS: [Row; 18] = [
    row("bare", Client::Bare(Part::Whole), Link::Plain, Load::Main),
    row("bare-headers", Client::Bare(Part::Headers), Link::Plain, Load::Main),
    row("bare-fields", Client::Bare(Part::Fields), Link::Plain, Load::Main),
    row("mailmill", MILL, Link::Plain, Load::Main),
    row("mailmill-script", Client::Mailmill(Rules::Script), Link::Plain, Load::Main),
    row("mailmill-body", Client::Mailmill(Rules::Body), Link::Plain, Load::Main),
    row("bare-tls", Client::Bare(Part::Whole), Link::Tls, Load::Main),
    row("mailmill-tls", MILL, Link::Tls, Load::Main),
    row("mailmill-body-tls", Client::Mailmill(Rules::Body), Link::Tls, Load::Main),
    row("imapfilter-search", Client::ImapfilterSearch, Link::Plain, Load::Main),
    row("imapfilter-fetch", Client::ImapfilterFetch, Link::Plain, Load::Main),
    row("sieve-filter", Client::SieveFilter, Link::Plain, Load::Main),
    row("fdm", Client::Fdm, Link::Plain, Load::Main),
    row("bare-far", Client::Bare(Part::Whole), Link::Far, Load::Few),
    row("mailmill-far", MILL, Link::Far, Load::Few),
    row("imapfilter-search-far", Client::ImapfilterSearch, Link::Far, Load::Few),
    row("bare-large", Client::Bare(Part::Whole), Link::Plain, Load::Many),
    row("mailmill-large", MILL, Link::Plain, Load::Many),
];
