//! `Connection`: how to reach a server of the Remote Execution API, in plain values, and what is wrong with them.

use std::fmt;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};
use zeroize::Zeroizing;

use crate::base::{Error, Result};

/// Bytes that a stream may be ahead of its reader, and all streams of a connection together.
const WINDOWS: (u32, u32) = (2 << 20, 8 << 20);
/// After so much silence the system asks whether the other side is still there. HTTP/2 has a ping of its own for that, but
/// servers end a connection that pings more often than every five minutes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Names of headers that gRPC keeps for itself.
const RESERVED: [&str; 6] = ["content-type", "te", "host", "user-agent", "connection", "transfer-encoding"];
/// What no part of an instance's name may be: a server could not tell where the name ends.
const KEYWORDS: [&str; 7] =
    ["blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs"];
/// What a URL may begin with, and whether that is TLS.
const SCHEMES: [(&str, bool); 4] = [("grpc", false), ("grpcs", true), ("http", false), ("https", true)];

/// How to reach a server. Nothing is read from the environment, and `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Connection {
    /// `grpc://host:port`, or `grpcs://` with TLS. Holds no credential and no path.
    pub url: String,
    /// Which of the server's instances; may be empty or hold slashes.
    pub instance: String,
    /// Sent with each request, as name and value: a bearer token, say.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// Certificates of authorities that are trusted beside the system's, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// Who we are, where the server wants to know.
    pub identity: Option<ClientIdentity>,
    /// The name in the server's certificate, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// Tells the actions of one use of a server from those of another: it goes into each action's salt.
    pub namespace: String,
    /// For how long what may last.
    pub patience: Patience,
}

/// A certificate that says who we are, and its key, both as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate, with those between it and its authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Zeroizing<Vec<u8>>,
}

/// For how long what may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until a short question is answered. What carries blobs has more, by their size.
    pub lookup: Duration,
    /// In which a stream does not move.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), lookup: Duration::from_secs(20), idle: Duration::from_secs(60) }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Connection")
            .field("url", &if self.url.contains('@') { "(hidden)" } else { &*self.url })
            .field("instance", &self.instance)
            .field("headers", &headers)
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .field("namespace", &self.namespace)
            .field("patience", &self.patience)
            .finish()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A connection whose values make sense.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) endpoint: Endpoint,
    /// Host and port.
    pub(super) address: String,
    pub(super) headers: MetadataMap,
}

impl Connection {
    /// Reads the values; nothing is sent.
    pub(super) fn prepare(&self) -> Result<Prepared> {
        let (address, is_tls) = address(&self.url)?;
        let is_name = |part: &str| !part.is_empty() && !KEYWORDS.contains(&part);
        if !self.instance.is_empty() && !self.instance.split('/').all(is_name) {
            return Err(Error::usage(format!("`{}` cannot be the name of an instance", self.instance.escape_debug())));
        }
        let wrong = |e: &dyn fmt::Display| Error::usage(format!("the remote cache `{address}` cannot be used: {e}"));
        let scheme = if is_tls { "https" } else { "http" };
        let endpoint =
            Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|_| wrong(&"that is no host and port"))?;
        let endpoint = endpoint
            .user_agent(concat!("expert-build/", env!("CARGO_PKG_VERSION")))
            .map_err(|e| wrong(&e))?
            .connect_timeout(self.patience.connect)
            .tcp_keepalive(Some(KEEPALIVE))
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1);
        let endpoint = if is_tls {
            self.with_tls(endpoint, &address)?
        } else if self.authorities.is_some() || self.identity.is_some() || self.server_name.is_some() {
            let what = format!("the remote cache `{address}` has certificates, but is reached without TLS");
            return Err(Error::usage_help(what, format!("write `grpcs://{address}`")));
        } else {
            endpoint
        };
        Ok(Prepared { endpoint, headers: self.metadata()?, address })
    }

    fn with_tls(&self, endpoint: Endpoint, address: &str) -> Result<Endpoint> {
        let wrong = |what: &str| Error::usage(format!("the remote cache `{address}` cannot be used: {what}"));
        let mut tls = ClientTlsConfig::new().timeout(self.patience.connect);
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        if let Some(ClientIdentity { certificate, key }) = &self.identity {
            let Some(_) = find(certificate, b"-----BEGIN CERTIFICATE-----") else {
                return Err(wrong("the client's certificate is not in PEM form"));
            };
            let Some(_) = find(key, b"PRIVATE KEY-----") else {
                return Err(wrong("the key of the client's certificate is not in PEM form"));
            };
            tls = tls.identity(Identity::from_pem(certificate, key.as_slice()));
        }
        let Some(pem) = &self.authorities else {
            return endpoint.tls_config(tls.with_native_roots()).map_err(|e| wrong(&cause(&e)));
        };
        if find(pem, b"-----BEGIN CERTIFICATE-----").is_none() {
            return Err(wrong("there is no certificate in PEM form among those of authorities"));
        }
        let tls = tls.ca_certificate(Certificate::from_pem(pem));
        // A container may have no certificates of the system's: then those that were given must do.
        match endpoint.clone().tls_config(tls.clone().with_native_roots()) {
            Ok(endpoint) => Ok(endpoint),
            Err(_) => endpoint.tls_config(tls).map_err(|e| wrong(&cause(&e))),
        }
    }

    fn metadata(&self) -> Result<MetadataMap> {
        let mut map = MetadataMap::new();
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            if RESERVED.contains(&&*name) || name.starts_with("grpc-") || name.ends_with("-bin") {
                return Err(Error::usage(format!("the header `{name}` is the protocol's own and cannot be set")));
            }
            let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes())
                .map_err(|_| Error::usage(format!("`{}` is no name of a header", name.escape_debug())))?;
            let mut value = MetadataValue::try_from(value.as_str()).map_err(|_| {
                Error::usage(format!("the value of the header `{name}` has characters that none can have"))
            })?;
            value.set_sensitive(true);
            map.append(key, value);
        }
        Ok(map)
    }

    /// What no message may show.
    pub(super) fn secrets(&self) -> Vec<Zeroizing<String>> {
        let mut secrets = Vec::new();
        for (_, value) in &self.headers {
            secrets.push(value.clone());
            // `Bearer TOKEN`: the token alone is as secret.
            let parts = value.split_whitespace().skip(1);
            secrets.extend(parts.map(|part| Zeroizing::new(part.to_owned())));
        }
        // Shorter ones are no secrets, and would be found in any word.
        secrets.retain(|secret| secret.len() >= 4);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// Host and port of a URL, and whether it is reached by TLS.
fn address(url: &str) -> Result<(String, bool)> {
    let help = "write `grpc://host:port`, or `grpcs://host:port` for TLS";
    if url.contains('@') {
        let what = "the URL of the remote cache holds a user or a password";
        return Err(Error::usage_help(what, "a credential goes into `headers`, from the environment"));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(Error::usage_help(format!("the URL of the remote cache `{url}` has no scheme"), help));
    };
    let Some((_, is_tls)) = SCHEMES.iter().find(|(known, _)| scheme.eq_ignore_ascii_case(known)) else {
        return Err(Error::usage_help(format!("the remote cache is not reached by `{scheme}://`"), help));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        let what = format!("the URL of the remote cache `{url}` has more than a host and a port");
        return Err(Error::usage_help(what, "the name of an instance goes into `instance`"));
    }
    let uri: Option<Uri> = format!("http://{rest}").parse().ok();
    match uri.as_ref().and_then(Uri::host) {
        Some(host) if !host.is_empty() => Ok((rest.to_owned(), *is_tls)),
        _ => Err(Error::usage_help(format!("the URL of the remote cache `{url}` has no host that can be read"), help)),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The last cause, which says most.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::{ClientIdentity, Connection, address};
    use crate::base::Error;

    #[test]
    fn addresses_are_hosts_and_ports() {
        let read = |url| address(url).unwrap();
        assert_eq!(read("grpc://127.0.0.1:8980"), ("127.0.0.1:8980".into(), false));
        assert_eq!(read("GRPCS://cache.example.com/"), ("cache.example.com".into(), true));
        assert_eq!(read("http://[::1]:80"), ("[::1]:80".into(), false));
        assert_eq!(read("https://h"), ("h".into(), true));
        for (url, what) in [
            ("cache.example.com:8980", "has no scheme"),
            ("", "has no scheme"),
            ("ftp://h", "not reached by `ftp://`"),
            ("grpc://h:1/instance", "more than a host and a port"),
            ("grpc://", "no host"),
            ("grpc://a b", "no host"),
            ("grpcs://h?token=x", "more than a host and a port"),
        ] {
            let Err(Error::Usage { message, help: Some(_) }) = address(url) else { panic!("{url} was taken") };
            assert!(message.contains(what), "{url}: {message}");
        }
        let secret = address("grpcs://me:hunter2hunter2@h").unwrap_err();
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let connection = Connection {
            url: "grpcs://me:password@h".into(),
            headers: vec![("authorization".into(), "Bearer hunter2hunter2".to_owned().into())],
            identity: Some(ClientIdentity { certificate: b"certificate".to_vec(), key: b"private".to_vec().into() }),
            ..Connection::default()
        };
        let shown = format!("{connection:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("password") && !shown.contains("private"), "{shown}");
        let connection = Connection { url: "grpc://h".into(), identity: None, ..connection };
        let shown = format!("{:?}", connection.prepare().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(connection.secrets().iter().any(|secret| **secret == "hunter2hunter2"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let of = |change: &dyn Fn(&mut Connection)| {
            let mut connection = Connection { url: "grpcs://h".into(), ..Connection::default() };
            change(&mut connection);
            connection.prepare().unwrap_err().to_string()
        };
        let header = |name: &str, value: &str| of(&|c| c.headers = vec![(name.into(), value.to_owned().into())]);
        assert!(header("grpc-timeout", "1").contains("the protocol's own"));
        assert!(header("a b", "1").contains("no name of a header"));
        let secret = header("authorization", "hunter2\n");
        assert!(secret.contains("characters that none can have") && !secret.contains("hunter2"), "{secret}");
        for instance in ["/a", "a/", "a//b", "blobs", "a/uploads/b"] {
            assert!(of(&|c| c.instance = instance.into()).contains("cannot be the name of an instance"));
        }
        assert!(of(&|c| c.authorities = Some(b"no".to_vec())).contains("no certificate in PEM form"));
        let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec();
        assert!(of(&|c| c.authorities = Some(broken.clone())).contains("cannot be used"));
        let identity = ClientIdentity { certificate: broken.clone(), key: b"no".to_vec().into() };
        assert!(of(&|c| c.identity = Some(identity.clone())).contains("the key of the client's certificate"));
        assert!(
            of(&|c| {
                c.url = "grpc://h".into();
                c.authorities = Some(broken.clone());
            })
            .contains("without TLS")
        );
    }
}
