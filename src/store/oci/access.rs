//! `Access`: what a registry is shown so that it answers: a password, or a token from the service that it names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use base64ct::{Base64, Encoding as _};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::Connection;
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::http::{Http, Trouble};

/// Bytes of a token service's answer.
const MAX_TOKEN: u64 = 1 << 20;

/// What was shown and may be shown again. No `Debug`: there are secrets in it.
pub(super) struct Access {
    host: String,
    docker_config: Option<PathBuf>,
    plain: bool,
    /// Looked for once, when the registry asks.
    credentials: Option<Option<Credentials>>,
    /// The registry wants the password itself.
    basic: bool,
    /// Scope → token.
    tokens: BTreeMap<String, HeaderValue>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Access {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            host: connection.host.clone(),
            docker_config: connection.docker_config.clone(),
            plain: connection.plain_http,
            credentials: None,
            basic: false,
            tokens: BTreeMap::new(),
        }
    }

    /// What to show for this scope, if anything is known.
    pub(super) fn header(&self, scope: &str) -> Option<HeaderValue> {
        match &self.credentials {
            Some(Some(credentials)) if self.basic => basic(credentials),
            _ => self.tokens.get(scope).cloned(),
        }
    }

    /// Answers these challenges, so that `header` knows something (new) to show.
    pub(super) fn gain(&mut self, http: &Http, challenges: &[Challenge], scope: &str) -> Result<(), Trouble> {
        self.tokens.remove(scope);
        if self.credentials.is_none() {
            let found = Credentials::find(self.docker_config.as_deref(), &self.host).map_err(Trouble::Fault)?;
            self.credentials = Some(found);
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service)),
            Challenge::Basic => None,
        });
        if let Some((realm, service)) = bearer {
            let token = self.token(http, realm, service.as_deref(), scope)?;
            self.tokens.insert(scope.to_owned(), token);
            return Ok(());
        }
        match &self.credentials {
            Some(Some(Credentials::Password { .. })) if challenges.contains(&Challenge::Basic) && !self.basic => {
                self.basic = true;
                Ok(())
            }
            _ => Err(self.refused()),
        }
    }

    /// The registry does not take what it was shown.
    pub(super) fn refused(&self) -> Trouble {
        let host = &self.host;
        Trouble::Lasting(match &self.credentials {
            Some(Some(_)) => format!("the registry refuses the login that docker's configuration has for `{host}`"),
            _ => {
                format!("the registry wants a login, and docker's configuration has none for it: `docker login {host}`")
            }
        })
    }

    fn token(&self, http: &Http, realm: &str, service: Option<&str>, scope: &str) -> Result<HeaderValue, Trouble> {
        let wrong = |what: &str| Trouble::Lasting(format!("the registry names a token service {what}"));
        let mut url = Url::parse(realm).map_err(|_| wrong("that has no address"))?;
        let secure = url.scheme() == "https" || (url.scheme() == "http" && self.plain);
        if !secure || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("that is not reached by HTTPS: no login is sent there"));
        }
        let scopes = scope.split(' ').map(|scope| ("scope", scope));
        let asked = service.map(|service| ("service", service)).into_iter().chain(scopes);
        let mut request = match self.credentials.as_ref().and_then(Option::as_ref) {
            Some(Credentials::Identity(token)) => {
                let mut form = Url::parse("form:").expect("a constant");
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "expert-build")
                    .append_pair("refresh_token", token)
                    .extend_pairs(service.map(|service| ("service", service)))
                    .append_pair("scope", scope);
                let form = form.query().unwrap_or_default().to_owned();
                http.client().post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
            known => {
                url.query_pairs_mut().extend_pairs(asked);
                let request = http.client().get(url);
                match known.and_then(basic) {
                    Some(header) => request.header(AUTHORIZATION, header),
                    None => request,
                }
            }
        };
        request = request.header("accept", "application/json");
        let response = http.send(request, 0, &AtomicU64::new(0), &mut |_| {})?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => return Err(self.refused()),
            _ => return Err(http.refusal(response)),
        }
        let body = Zeroizing::new(http.body(response, MAX_TOKEN)?);
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        let token = answer.and_then(|answer| answer.token.filter(|t| !t.is_empty()).or(answer.access_token));
        let mut token = token.ok_or_else(|| wrong("that answers without a token"))?;
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        token.zeroize();
        let mut header = header.map_err(|_| wrong("whose token cannot be shown"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials::Password { user, password } = credentials else { return None };
    let pair = Zeroizing::new(format!("{user}:{}", **password));
    let text = Zeroizing::new(format!("Basic {}", *Zeroizing::new(Base64::encode_string(pair.as_bytes()))));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::{Access, Challenge, Connection, Credentials, Http, Trouble, basic};

    /// The registry names the token service, so a registry (or whoever is in between) could name any.
    #[test]
    fn no_login_goes_out_in_the_clear() {
        let http = Http::new(None, true).unwrap();
        let connection = Connection { host: "registry.example".into(), ..Connection::default() };
        for realm in ["http://127.0.0.1:9/token", "https://me:it@127.0.0.1:9/", "ftp://127.0.0.1/", "token", ""] {
            let challenge = Challenge::Bearer { realm: realm.into(), service: None };
            let asked = Access::new(&connection).gain(&http, &[challenge], "repository:a:pull");
            let Err(Trouble::Lasting(why)) = asked else { panic!("{realm} was asked") };
            assert!(why.starts_with("the registry names a token service that"), "{realm}: {why}");
        }
        // The same place is fine for a registry that is itself reached so: nobody listens there, which is another matter.
        let plain = Connection { plain_http: true, ..connection };
        let challenge = Challenge::Bearer { realm: "http://127.0.0.1:9/token".into(), service: None };
        let asked = Access::new(&plain).gain(&http, &[challenge], "repository:a:pull");
        assert!(matches!(asked, Err(Trouble::Passing { .. })));
    }

    #[test]
    fn a_password_is_shown_as_the_standard_has_it_and_never_printed() {
        let header =
            basic(&Credentials::Password { user: "me".into(), password: "hunter2".to_owned().into() }).unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic bWU6aHVudGVyMg==");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
