//! Whose message it is: the account that has the address it is from.

use crate::config::{Account, Config, Right, User};
use crate::mail::Address;
use crate::send::dialogue::Reply;

/// The account of the first address of From that one has. Where several have it, one that the user
/// may use by its name comes first.
pub(super) fn of<'c>(
    config: &'c Config,
    user: &User,
    from: &[Address],
) -> Result<&'c Account, Reply> {
    let named = |account: &Account| {
        user.send_as.iter().any(|right| *right == Right::Account(account.name.clone()))
    };
    for Address { address, .. } in from {
        let with = || config.accounts.values().filter(|account| account.has(address));
        let Some(any) = with().next() else { continue };
        let can = || with().filter(|account| account.smtp.is_some());
        let found = can().find(|account| named(account)).or_else(|| can().next());
        return found.ok_or_else(|| {
            let text = format!("account {} has no smtp to send through", any.name);
            Reply::new(451, "4.3.5", text)
        });
    }
    let address = from.first().map_or("", |from| &from.address);
    Err(Reply::new(550, "5.7.60", format!("no account here sends mail from {address}")))
}
