//! `Reference`: `host[:port]/repository[:tag][@sha256:…]`, as the OCI distribution specification has it.
//!
//! The host is always named: a reference that means another place on each machine has no place in a script. A user or
//! password in it is refused, and never repeated in the message.

use std::fmt;

use crate::base::Sha256;

/// Letters of a repository's name at most, with its host.
const MAX_NAME: usize = 255;
/// Letters of a tag at most.
const MAX_TAG: usize = 128;

/// Something in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The registry: a host, with its port where it has one.
    pub host: String,
    /// The repository in it.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<Sha256>,
}

impl Reference {
    /// Reads a reference. `oci://` before it is passed over.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, rest) = Self::host(text)?;
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            return Err(format!("`{text}` names a registry and no repository in it"));
        };
        let (rest, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((rest, digest)) => {
                let known = digest.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()));
                let parsed = known.and_then(|hex| hex.parse().ok());
                let parsed = parsed.ok_or_else(|| format!("`{digest}` is no digest: `sha256:` and 64 hex digits"))?;
                (rest, Some(parsed))
            }
        };
        let (repository, tag) = rest.split_once(':').map_or((rest, None), |(name, tag)| (name, Some(tag)));
        if repository.len() + host.len() > MAX_NAME || !repository.split('/').all(is_part) {
            return Err(format!(
                "`{repository}` is no repository: lower-case letters and digits, joined by `.`, `_`, `-` or `/`"
            ));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(format!("`{tag}` is no tag: at most 128 letters, digits, `_`, `.` and `-`"));
        }
        let (repository, tag) = (repository.to_owned(), tag.map(str::to_owned));
        Ok(Self { host: host.to_owned(), repository, tag, digest })
    }

    /// Reads what packages are pushed below: `host/namespace/`, ending in a slash.
    pub fn parse_below(text: &str) -> Result<Option<(String, String)>, String> {
        if !text.ends_with('/') {
            return Ok(None);
        }
        let (host, rest) = Self::host(text)?;
        let namespace = rest.unwrap_or_default().trim_end_matches('/');
        if !namespace.is_empty() && !namespace.split('/').all(is_part) {
            return Err(format!(
                "`{namespace}/` is no place in a registry: lower-case letters and digits, `/` between"
            ));
        }
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        Ok(Some((host.to_owned(), prefix)))
    }

    /// The host, and what follows it.
    fn host(text: &str) -> Result<(&str, Option<&str>), String> {
        let bare = text.split_once("://").map_or(text, |(_, bare)| bare);
        let (host, rest) = bare.split_once('/').map_or((bare, None), |(host, rest)| (host, Some(rest)));
        if host.contains('@') {
            let how = "log in with `docker login` (or a credential helper), whose settings are used";
            return Err(format!("a user or password in a reference is never taken: {how}"));
        }
        if text.contains("://") && !text.starts_with("oci://") {
            return Err(format!("`{text}` is an address, not a reference: it is written `host/repository:tag`"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        let is_port = port.is_none_or(|port| !port.starts_with('+') && port.parse::<u16>().is_ok());
        let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_name = match in_brackets {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.split('.').all(|part| {
                let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
                !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(fine)
            }),
        };
        let is_host = name.contains('.') || in_brackets.is_some() || port.is_some() || name == "localhost";
        if !is_host || !is_name || !is_port {
            return Err(format!("`{text}` does not begin with a registry's host, as in `oci.lan/org/name:1.0.0`"));
        }
        Ok((host, rest))
    }

    /// What it is asked for by: the digest, else the tag.
    pub fn wanted(&self) -> Option<String> {
        self.digest.map(|digest| format!("sha256:{digest}")).or_else(|| self.tag.clone())
    }

    /// Is the host this machine itself?
    pub fn is_loopback(&self) -> bool {
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => &self.host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

/// The tag for a version: `+`, which no tag may hold, becomes `_`.
pub fn tag_of(version: &str) -> Option<String> {
    Some(version.replace('+', "_")).filter(|tag| is_tag(tag))
}

/// The last part of a repository's name for a package's file: its name without `.expert` and `.v<version>`.
pub fn repository_part(file_name: &str, version: &str) -> Option<String> {
    let stem = file_name.strip_suffix(".expert").unwrap_or(file_name);
    let stem = stem.strip_suffix(&format!(".v{version}")).unwrap_or(stem).to_ascii_lowercase();
    Some(stem).filter(|stem| is_part(stem))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(word).filter(|separator| !separator.is_empty());
    let fine = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    part.starts_with(word) && part.ends_with(word) && separators.into_iter().all(fine)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{Reference, repository_part, tag_of};

    #[test]
    fn references_are_read_and_written() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "oci.lan/org/sql:1.0.0".to_owned(),
            "localhost/sql".to_owned(),
            "127.0.0.1:5000/a/b__c/d-e.f:latest".to_owned(),
            "[::1]:5000/sql:1".to_owned(),
            format!("host:5000/sql@{digest}"),
            format!("registry.example.com/sql:1.0@{digest}"),
        ] {
            let reference = Reference::parse(&text).unwrap();
            assert_eq!(reference.to_string(), text);
        }
        let reference = Reference::parse("oci://oci.lan/org/sql:1.0_x").unwrap();
        assert_eq!((&*reference.host, &*reference.repository), ("oci.lan", "org/sql"));
        assert_eq!(reference.wanted().as_deref(), Some("1.0_x"));
    }

    #[test]
    fn what_is_none_is_refused_and_no_password_repeated() {
        for (text, why) in [
            ("sql", "does not begin with a registry's host"),
            ("org/sql:1.0", "does not begin with a registry's host"),
            ("oci.lan", "no repository in it"),
            ("oci.lan/", "no repository in it"),
            ("oci.lan/Org/sql", "is no repository"),
            ("oci.lan/org//sql", "is no repository"),
            ("oci.lan/../sql", "is no repository"),
            ("oci.lan/sql:", "is no tag"),
            ("oci.lan/sql:a/b", "is no tag"),
            ("oci.lan/sql@sha256:12", "is no digest"),
            ("oci.lan/sql@md5:12", "is no digest"),
            ("host:99999/sql", "does not begin"),
            ("a..b/sql", "does not begin"),
            ("https://oci.lan/sql", "is an address"),
            ("oci.lan/sql?x=1", "is no repository"),
        ] {
            let fault = Reference::parse(text).unwrap_err();
            assert!(fault.contains(why), "{text}: {fault}");
        }
        for text in ["me:hunter2@oci.lan/sql:1", "https://me:hunter2@oci.lan/sql", "oci://me:hunter2@oci.lan/sql/"] {
            for fault in [Reference::parse(text).unwrap_err(), Reference::host(text).unwrap_err()] {
                assert!(fault.contains("is never taken") && !fault.contains("hunter2"), "{fault}");
            }
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (host, is) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.3.0.1:80", true),
            ("[::1]:5000", true),
            ("localhost.example.com", false),
            ("127.example.com", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(Reference::parse(&format!("{host}/a:b")).unwrap().is_loopback(), is, "{host}");
        }
    }

    #[test]
    fn packages_get_names_below_a_place() {
        assert_eq!(Reference::parse_below("oci.lan/org").unwrap(), None);
        let below = Reference::parse_below("oci.lan/org/experts/").unwrap().unwrap();
        assert_eq!(below, ("oci.lan".to_owned(), "org/experts/".to_owned()));
        assert_eq!(Reference::parse_below("host:5/").unwrap().unwrap().1, "");
        assert!(Reference::parse_below("oci.lan/Org/").is_err());
        assert!(Reference::parse_below("org/").is_err());
        assert_eq!(repository_part("SQL.v1.0.0.expert", "1.0.0").as_deref(), Some("sql"));
        assert_eq!(repository_part("sql-qwen3.v1.0.0.expert", "1.0.0").as_deref(), Some("sql-qwen3"));
        assert_eq!(repository_part("my sql.expert", "1.0.0"), None);
        assert_eq!(tag_of("1.0.0+gpu").as_deref(), Some("1.0.0_gpu"));
        assert_eq!(tag_of("ü"), None);
    }
}
