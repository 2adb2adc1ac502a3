//! Password hashes (argon2id, RFC 9106, in the PHC form `$argon2id$v=19$…`). The only file that uses
//! argon2.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use rustls::crypto::ring::default_provider;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// The most memory that a hash may ask for, in KiB, and the most passes and lanes: a hash from a file
/// must not stop the engine.
const MOST: (u32, u32, u32) = (256 << 10, 16, 8);

/// Hashes a password with a fresh salt, by the parameters that RFC 9106 recommends where memory is
/// scarce (19 MiB, 2 passes).
///
/// # Errors
/// The system gives no random numbers.
pub fn hash(password: &SecretString) -> Result<String> {
    let wrong = |why: String| Error::temporary("hash a password", why);
    let mut salt = [0_u8; 16];
    default_provider()
        .secure_random
        .fill(&mut salt)
        .map_err(|_| wrong("the system gives no random numbers".into()))?;
    let salt = SaltString::encode_b64(&salt).map_err(|why| wrong(why.to_string()))?;
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|why| wrong(why.to_string()))
}

/// Whether the hash is one that [`verify`] can work with.
///
/// # Errors
/// Permanent: what is wrong with it.
pub fn check(hash: &SecretString) -> Result<()> {
    parse(hash.expose_secret()).map(|_| ())
}

/// Whether the password is right. Takes some 20 ms and 19 MiB, by design: not for network threads.
///
/// # Errors
/// As of [`check`].
pub fn verify(hash: &SecretString, password: &SecretString) -> Result<bool> {
    let hash = parse(hash.expose_secret())?;
    Ok(Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
}

/// Takes the time of [`verify`]: so that nobody can tell a name that is missing.
pub fn verify_nothing(password: &SecretString) {
    let _ = Argon2::default().hash_password_into(
        password.expose_secret().as_bytes(),
        b"sixteen bytes ..",
        &mut [0_u8; 32],
    );
}

fn parse(hash: &str) -> Result<PasswordHash<'_>> {
    let wrong = |why: &str| {
        Error::permanent("use the hash of a password", why)
            .next("make a new one with `mailmill users add`")
    };
    let parsed = PasswordHash::new(hash).map_err(|_| wrong("it is no argon2 hash"))?;
    if !parsed.algorithm.as_str().starts_with("argon2") || parsed.hash.is_none() {
        return Err(wrong("it is no argon2 hash"));
    }
    let params = Params::try_from(&parsed).map_err(|_| wrong("its parameters are none"))?;
    if params.m_cost() > MOST.0 || params.t_cost() > MOST.1 || params.p_cost() > MOST.2 {
        return Err(wrong("it takes more than 256 MiB, 16 passes or 8 lanes"));
    }
    Ok(parsed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{check, hash, verify};

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let one = hash(&"hunter2".into()).unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, hash(&"hunter2".into()).unwrap());
        assert!(verify(&one.clone().into(), &"hunter2".into()).unwrap());
        assert!(!verify(&one.into(), &"hunter3".into()).unwrap());
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        for wrong in [
            "hunter2",
            "",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0",
            "$2b$12$abcdefghijklmnopqrstuu",
            "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            let error = check(&wrong.into()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
