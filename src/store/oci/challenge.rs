//! `Challenge`: what `WWW-Authenticate` asks for (RFC 9110, section 11.6.1).

/// Bytes of such a header at most; no registry needs a tenth of it.
const MAX: usize = 8192;

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password with each request.
    Basic,
    /// A token that another service gives.
    Bearer {
        /// Its address.
        realm: String,
        /// For which service.
        service: Option<String>,
    },
}

impl Challenge {
    /// What this header asks for, as far as it is known.
    pub(super) fn read(header: &str) -> Vec<Self> {
        if header.len() > MAX {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut scheme = String::new();
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut close = |scheme: &str, parameters: &mut Vec<(String, String)>| {
            let get = |key: &str, from: &[(String, String)]| {
                from.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
            };
            match scheme.to_ascii_lowercase().as_str() {
                "basic" => found.push(Self::Basic),
                "bearer" => {
                    let service = get("service", parameters);
                    found.extend(get("realm", parameters).map(|realm| Self::Bearer { realm, service }));
                }
                _ => {}
            }
            parameters.clear();
        };
        for part in parts(header) {
            // `Scheme key=value`, `key=value` or `Scheme`.
            let is_token =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let (before, value) = part.split_once('=').map_or((part, None), |(before, value)| (before, Some(value)));
            let before = before.trim();
            let (named, key) = match (before.rsplit_once(char::is_whitespace), value) {
                (Some((named, key)), Some(_)) if is_token(named.trim()) => (Some(named.trim()), key),
                (_, None) if is_token(before) => (Some(before), ""),
                _ => (None, before),
            };
            if let Some(named) = named {
                close(&scheme, &mut parameters);
                named.clone_into(&mut scheme);
            }
            if let Some(value) = value {
                parameters.push((key.to_owned(), unquoted(value.trim())));
            }
        }
        close(&scheme, &mut parameters);
        found
    }
}

/// The parts between commas that stand in no quotes.
fn parts(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in header.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(header[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(header[start..].trim());
    parts
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let (mut text, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => break,
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
        };
        for (header, expected) in [
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://auth.example/token",service="reg, istry",scope="repository:a:pull,push""#,
                vec![bearer("https://auth.example/token", Some("reg, istry"))],
            ),
            (r#"Bearer  service=x , realm="a\"b""#, vec![bearer("a\"b", Some("x"))]),
            (r#"Negotiate, Bearer realm="r", Basic realm="x""#, vec![bearer("r", None), Challenge::Basic]),
            ("Bearer scope=x", vec![]),
            ("", vec![]),
            ("Digest realm=x", vec![]),
            (r#"Bearer realm="open"#, vec![bearer("open", None)]),
        ] {
            assert_eq!(Challenge::read(header), expected, "{header}");
        }
        assert_eq!(Challenge::read(&"ü=\",".repeat(10_000)), []);
    }
}
