//! What a server says, in our own words: imap-proto's types end here.

use std::collections::BTreeSet;

use imap_proto::rfc4315::UidSetMember;
use imap_proto::{
    AttributeValue, MailboxDatum, MessageSection, NameAttribute, Outcome, Response, ResponseCode,
    SectionPath,
};

use super::filter::Filter;
use super::repair::unescaped;

/// One response.
#[derive(Debug)]
pub(super) enum Reply {
    /// The end of a command.
    Done {
        tag: String,
        said: Said,
    },
    /// OK, NO, BAD, BYE or PREAUTH without a tag.
    Status(Said),
    /// The server waits for the rest of a command.
    Continue,
    Capabilities(BTreeSet<String>),
    Exists(u32),
    /// EXPUNGE or VANISHED.
    Gone(u32),
    /// The flags of the mailbox.
    Flags(Vec<String>),
    List(Entry),
    Search(Vec<u32>),
    Fetch(FetchData),
    /// Nothing that matters here.
    Other,
}

/// A status with its code and text.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) status: Status,
    pub(super) code: Option<Code>,
    /// For people, as the server wrote it.
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::Bye => "BYE",
            Self::Preauth => "PREAUTH",
        }
    }
}

/// A response code (RFC 9051 section 7.1, RFC 5530, RFC 4315).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    UidValidity(u32),
    UidNext(u32),
    PermanentFlags(Vec<String>),
    AppendUid {
        uidvalidity: u32,
        uid: u32,
    },
    CopyUid {
        uidvalidity: u32,
        from: Vec<UidRange>,
        to: Vec<UidRange>,
    },
    Capabilities(BTreeSet<String>),
    /// Any other: its name in capitals.
    Named(String),
}

/// First and last, both included.
pub(super) type UidRange = std::ops::RangeInclusive<u32>;

/// One mailbox of a LIST answer. The name is as the server writes it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) delimiter: Option<char>,
    pub(super) selectable: bool,
}

/// What one FETCH answer says of a message; `None` is not said.
#[derive(Debug, Default)]
pub(super) struct FetchData {
    pub(super) uid: Option<u32>,
    pub(super) flags: Option<Vec<String>>,
    pub(super) internal_date: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) header: Option<Vec<u8>>,
    pub(super) whole: Option<Vec<u8>>,
    /// Bytes of the whole and how many are in front of them.
    pub(super) part: Option<(u32, Vec<u8>)>,
}

impl Reply {
    /// Bodies come from the filter, which kept them.
    pub(super) fn new(response: &Response<'_>, filter: &mut Filter) -> Self {
        match response {
            Response::Done { tag, status, outcome } => {
                Self::Done { tag: tag.0.clone(), said: Said::new(status, outcome) }
            }
            Response::Data { status, outcome } => Self::Status(Said::new(status, outcome)),
            Response::Continue(_) => Self::Continue,
            Response::Capabilities(list) => {
                Self::Capabilities(list.iter().map(capability).collect())
            }
            Response::Expunge(_) => Self::Gone(1),
            Response::Vanished { earlier: false, uids } => {
                let count =
                    uids.iter().map(|range| range.end().abs_diff(*range.start()).saturating_add(1));
                Self::Gone(count.fold(0, u32::saturating_add))
            }
            Response::Fetch(_, attributes) => {
                let mut data = FetchData::default();
                for attribute in attributes {
                    data.take(attribute, filter);
                }
                Self::Fetch(data)
            }
            Response::MailboxData(datum) => Self::of_mailbox(datum),
            _ => Self::Other,
        }
    }

    fn of_mailbox(datum: &MailboxDatum<'_>) -> Self {
        match datum {
            MailboxDatum::Exists(count) => Self::Exists(*count),
            MailboxDatum::Flags(flags) => Self::Flags(owned(flags)),
            MailboxDatum::Search(numbers) => Self::Search(numbers.clone()),
            MailboxDatum::List(listed) => Self::List(Entry {
                name: listed.name.to_string(),
                // A quoted backslash stands as two.
                delimiter: listed.delimiter.as_ref().and_then(|quoted| quoted.chars().last()),
                selectable: !listed.name_attributes.iter().any(is_not_selectable),
            }),
            _ => Self::Other,
        }
    }
}

fn is_not_selectable(attribute: &NameAttribute<'_>) -> bool {
    match attribute {
        NameAttribute::NoSelect => true,
        NameAttribute::Extension(name) => name.eq_ignore_ascii_case("\\NonExistent"),
        _ => false,
    }
}

fn capability(capability: &imap_proto::Capability<'_>) -> String {
    match capability {
        imap_proto::Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        imap_proto::Capability::Auth(name) => format!("AUTH={}", name.to_ascii_uppercase()),
        imap_proto::Capability::Atom(name) => name.to_ascii_uppercase(),
    }
}

fn owned(texts: &[std::borrow::Cow<'_, str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

impl FetchData {
    fn take(&mut self, attribute: &AttributeValue<'_>, filter: &mut Filter) {
        match attribute {
            AttributeValue::Uid(uid) => self.uid = Some(*uid),
            AttributeValue::Flags(flags) => self.flags = Some(owned(flags)),
            AttributeValue::InternalDate(date) => self.internal_date = Some(date.to_string()),
            AttributeValue::Rfc822Size(size) => self.size = Some(u64::from(*size)),
            AttributeValue::BodySection { section: None, index: None, data: Some(data) } => {
                self.whole = Some(body(data, filter));
            }
            AttributeValue::BodySection { section: None, index: Some(at), data: Some(data) } => {
                self.part = Some((*at, body(data, filter)));
            }
            AttributeValue::BodySection {
                section: Some(SectionPath::Full(MessageSection::Header)),
                index: None,
                data: Some(data),
            } => self.header = Some(bounded(body(data, filter))),
            _ => {}
        }
    }
}

/// Bytes of a header block that are kept, its last line whole: as much as Exchange takes. A thousand
/// are in memory at a time, and who wrote the mail decides how long they are.
const MOST_HEADER: usize = 256 * 1024;

fn bounded(mut header: Vec<u8>) -> Vec<u8> {
    if let Some(most) = header.get(..MOST_HEADER) {
        let end = most.iter().rposition(|byte| *byte == b'\n').map_or(MOST_HEADER, |at| at + 1);
        header.truncate(end);
        header.shrink_to_fit();
    }
    header
}

/// A literal that the filter kept, or a quoted string.
fn body(string: &[u8], filter: &mut Filter) -> Vec<u8> {
    filter.take_body(string).unwrap_or_else(|| unescaped(string))
}

impl Said {
    fn new(status: &imap_proto::Status, outcome: &Outcome<'_>) -> Self {
        let status = match status {
            imap_proto::Status::Ok => Status::Ok,
            imap_proto::Status::No => Status::No,
            imap_proto::Status::Bad => Status::Bad,
            imap_proto::Status::Bye => Status::Bye,
            imap_proto::Status::PreAuth => Status::Preauth,
        };
        let text = outcome.information.as_deref().unwrap_or_default().trim();
        match &outcome.code {
            Some(code) => Self { status, code: Some(Code::new(code)), text: text.to_owned() },
            None => Self::unknown_code(status, text),
        }
    }

    /// A code that the parser does not know stands in the text.
    fn unknown_code(status: Status, text: &str) -> Self {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let Some((code, text)) = bracketed else {
            return Self { status, code: None, text: text.to_owned() };
        };
        let name = code.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        Self { status, code: Some(Code::Named(name)), text: text.trim().to_owned() }
    }

    /// The code's name, in capitals; empty where there is none.
    pub(super) fn code_name(&self) -> &str {
        match &self.code {
            Some(Code::Named(name)) => name,
            _ => "",
        }
    }
}

impl Code {
    fn new(code: &ResponseCode<'_>) -> Self {
        match code {
            ResponseCode::UidValidity(value) => Self::UidValidity(*value),
            ResponseCode::UidNext(value) => Self::UidNext(*value),
            ResponseCode::PermanentFlags(flags) => Self::PermanentFlags(owned(flags)),
            ResponseCode::AppendUid(uidvalidity, uids) => {
                let uid = ranges(uids).first().map_or(0, |range| *range.start());
                Self::AppendUid { uidvalidity: *uidvalidity, uid }
            }
            ResponseCode::CopyUid(uidvalidity, from, to) => {
                Self::CopyUid { uidvalidity: *uidvalidity, from: ranges(from), to: ranges(to) }
            }
            ResponseCode::Capabilities(list) => {
                Self::Capabilities(list.iter().map(capability).collect())
            }
            ResponseCode::Alert => Self::Named("ALERT".into()),
            ResponseCode::TryCreate => Self::Named("TRYCREATE".into()),
            ResponseCode::ReadOnly => Self::Named("READ-ONLY".into()),
            ResponseCode::Parse => Self::Named("PARSE".into()),
            _ => Self::Named(String::new()),
        }
    }
}

fn ranges(set: &[UidSetMember]) -> Vec<UidRange> {
    set.iter()
        .map(|member| match member {
            UidSetMember::Uid(uid) => *uid..=*uid,
            UidSetMember::UidRange(range) => range.clone(),
        })
        .collect()
}
