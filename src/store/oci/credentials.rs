//! `Credentials`: a login from docker's `config.json` or the helper that it names.

use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use zeroize::Zeroizing;

use crate::base::{Error, Result};
use crate::store::fs;

/// Bytes of `config.json` at most.
const MAX_CONFIG: u64 = 4 << 20;
/// Under which name docker keeps the login of its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A login. Never shown: there is no `Debug`.
pub(super) enum Credentials {
    /// A user and a password.
    Password { user: String, password: Zeroizing<String> },
    /// A token that other tokens are got with.
    Identity(Zeroizing<String>),
}

impl Credentials {
    /// The login for this registry; `None` where there is none, and the registry is asked as anybody.
    pub(super) fn find(config: Option<&Path>, host: &str) -> Result<Option<Self>> {
        let Some(path) = config else { return Ok(None) };
        let Some((bytes, _)) = fs::read(path, MAX_CONFIG)? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        let names: &[&str] = if host == "docker.io" { &[DOCKER_HUB, host] } else { &[host] };
        for name in names {
            match get_credential_from_reader(&bytes[..], name) {
                Ok(DockerCredential::UsernamePassword(user, password)) if user == "<token>" => {
                    return Ok(Some(Self::Identity(password.into())));
                }
                Ok(DockerCredential::UsernamePassword(user, password)) if !user.is_empty() => {
                    return Ok(Some(Self::Password { user, password: password.into() }));
                }
                Ok(DockerCredential::UsernamePassword(..)) => {}
                Ok(DockerCredential::IdentityToken(token)) => return Ok(Some(Self::Identity(token.into()))),
                Err(e) => match trouble(&e) {
                    None => {}
                    Some(why) => {
                        let message = format!("cannot get the login for `{host}` that `{}` names", path.display());
                        return Err(Error::Network { message, source: Some(why.into()) });
                    }
                },
            }
        }
        Ok(None)
    }
}

/// What is wrong; `None` where there simply is no login. What a helper prints to stdout may be a secret and is never told.
fn trouble(error: &CredentialRetrievalError) -> Option<String> {
    use CredentialRetrievalError as E;
    match error {
        E::NoCredentialConfigured | E::ConfigNotFound => None,
        E::HelperFailure { stdout, .. } if stdout.to_ascii_lowercase().contains("not found") => None,
        E::HelperFailure { helper, stderr, .. } => {
            let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let first: String = first.chars().take(200).collect();
            Some(format!("the helper `{helper}` failed: {}", first.trim().escape_debug()))
        }
        E::HelperCommunicationError => Some("its credential helper cannot be run, or does not listen".into()),
        E::MalformedHelperResponse => Some("its credential helper answers nothing that can be read".into()),
        E::CredentialDecodingError => Some("its `auth` is not the base64 of a user and a password".into()),
        E::CredentialMismatchError => Some("its `auth` is not that of its `username` and `password`".into()),
        E::ConfigReadError => Some("the file cannot be read as docker's configuration".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    fn found(config: &str, host: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        match Credentials::find(Some(&path), host) {
            Ok(None) => Ok("none".into()),
            Ok(Some(Credentials::Password { user, password })) => Ok(format!("{user} {}", *password)),
            Ok(Some(Credentials::Identity(token))) => Ok(format!("token {}", *token)),
            Err(e) => Err(format!("{e:?}")),
        }
    }

    #[test]
    fn logins_come_from_dockers_configuration() {
        let plain = r#"{"auths": {"host:5000": {"auth": "bWU6aHVudGVyMg=="}, "https://index.docker.io/v1/":
            {"username": "you", "password": "p"}, "az.example": {"identitytoken": "t"}}, "credHelpers": {"no": "is-missing"}}"#;
        assert_eq!(found(plain, "host:5000").unwrap(), "me hunter2");
        assert_eq!(found(plain, "docker.io").unwrap(), "you p");
        assert_eq!(found(plain, "az.example").unwrap(), "token t");
        assert_eq!(found(plain, "other").unwrap(), "none");
        assert!(found(plain, "no").unwrap_err().contains("cannot be run"));
        assert!(found("{", "host").unwrap_err().contains("cannot be read"));
        let wrong = found(r#"{"auths": {"h": {"auth": "aHVudGVyMg=="}}}"#, "h").unwrap_err();
        assert!(wrong.contains("not the base64 of a user") && !wrong.contains("hunter2"), "{wrong}");
        assert!(Credentials::find(None, "host").unwrap().is_none());
        assert!(Credentials::find(Some(std::path::Path::new("/nowhere")), "host").unwrap().is_none());
    }
}
