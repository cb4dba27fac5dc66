//! TLS: who the server is, and who the client is; tokens.

use std::process::{Command, Stdio};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use expert_build::store::Remote;
use expert_build::store::remote::{
    ActionResult, CasDigest, ClientIdentity, Connection, Failure, FailureKind, GrpcRemote,
};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::certificates::Certificates;
use crate::fake::{Behaviour, Fake};
use crate::ground::{action, connection, fetch, noise, upload};
use crate::servers::{BuildGrid, Server};

fn serving(certificates: &Certificates, name: &str, wants_client: bool) -> Fake {
    let read = |end: &str| certificates.read(&format!("{name}.{end}"));
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(read("pem"), read("key")));
    if wants_client {
        tls = tls.client_ca_root(Certificate::from_pem(certificates.read("ca.pem")));
    }
    Fake::start(Behaviour { tls: Some(tls), ..Behaviour::default() })
}

fn secure(port: u16, certificates: &Certificates) -> Connection {
    Connection {
        url: format!("grpcs://127.0.0.1:{port}"),
        authorities: Some(certificates.read("ca.pem")),
        ..connection(port)
    }
}

fn identity(certificates: &Certificates) -> Option<ClientIdentity> {
    Some(ClientIdentity { certificate: certificates.read("client.pem"), key: certificates.read("client.key").into() })
}

fn greet(connection: &Connection) -> Result<GrpcRemote, Failure> {
    let remote = GrpcRemote::new(connection).unwrap();
    remote.greet().map(|_| remote)
}

#[test]
fn a_server_must_be_who_it_says() {
    let Some(certificates) = Certificates::make() else { return };
    let server = serving(&certificates, "server", false);
    let right = secure(server.port, &certificates);
    let remote = greet(&right).unwrap();
    let blob = noise(5 << 20, 1);
    remote.upload(&[upload(&blob)]).unwrap();
    assert!(fetch(&remote, CasDigest::of(&blob)).unwrap() == *blob);
    let https = Connection { url: right.url.replace("grpcs", "https"), ..right.clone() };
    greet(&https).unwrap();

    let denied = |connection: &Connection| {
        let failure = greet(connection).unwrap_err();
        assert!(failure.kind == FailureKind::Denied && failure.message.contains("TLS: "), "{failure}");
    };
    denied(&Connection { authorities: Some(certificates.read("other.pem")), ..right.clone() });
    denied(&Connection { server_name: Some("else.example.com".into()), ..right.clone() });
    if let Ok(remote) = GrpcRemote::new(&Connection { authorities: None, ..right.clone() }) {
        assert_eq!(remote.greet().unwrap_err().kind, FailureKind::Denied, "the system does not know it");
    }
    let named = serving(&certificates, "named", false);
    let by_address = secure(named.port, &certificates);
    denied(&by_address);
    greet(&Connection { server_name: Some("cache.example.com".into()), ..by_address }).unwrap();

    // One side speaks TLS, the other does not.
    let plain = Fake::start(Behaviour::default());
    denied(&secure(plain.port, &certificates));
    assert_eq!(greet(&connection(server.port)).unwrap_err().kind, FailureKind::Unavailable);
}

#[test]
fn a_client_must_be_who_it_says() {
    let Some(certificates) = Certificates::make() else { return };
    let server = serving(&certificates, "server", true);
    let anybody = secure(server.port, &certificates);
    greet(&Connection { identity: identity(&certificates), ..anybody.clone() }).unwrap();
    // The server says why only after the handshake, and may be gone before that is read.
    let failure = greet(&anybody).unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Denied | FailureKind::Unavailable), "{failure}");
}

#[test]
fn build_grid_wants_certificates() {
    let Some(certificates) = Certificates::make() else { return };
    let wants = BuildGrid { certificates: Some(certificates.0.path().to_path_buf()), ..BuildGrid::default() };
    let Some(server) = Server::build_grid(&wants) else { return };
    let anybody = Connection { instance: "some/where".into(), ..secure(server.port, &certificates) };
    let ours = Connection { identity: identity(&certificates), ..anybody.clone() };
    let remote = greet(&ours).unwrap();
    let blob = noise(5 << 20, 1);
    remote.upload(&[upload(&blob)]).unwrap();
    assert!(fetch(&remote, CasDigest::of(&blob)).unwrap() == *blob);
    let other = Connection { authorities: Some(certificates.read("other.pem")), ..ours };
    assert_eq!(greet(&other).unwrap_err().kind, FailureKind::Denied);
    let failure = greet(&anybody).unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Denied | FailureKind::Unavailable), "{failure}");
}

/// One that only reads, and wants a token.
#[test]
fn build_grid_wants_a_token() {
    let secret = "a secret of thirty-two characters";
    let Some(token) = token(secret) else { return };
    let wants = BuildGrid { secret: Some(secret), read_only: true, ..BuildGrid::default() };
    let Some(server) = Server::build_grid(&wants) else { return };
    let with = |token: &str| Connection {
        instance: "some/where".into(),
        headers: vec![("authorization".into(), format!("Bearer {token}").into())],
        ..connection(server.port)
    };
    let remote = GrpcRemote::new(&with(&token)).unwrap();
    let result = remote.result(&action("token"), &[]);
    assert_eq!(result, Ok(None), "{}", server.log());
    let update = remote.update(&action("token"), &ActionResult::default()).unwrap_err();
    let large = remote.upload(&[upload(&noise(5 << 20, 1))]).unwrap_err();
    for failure in [update, large] {
        assert!(matches!(failure.kind, FailureKind::Unsupported | FailureKind::Denied), "{failure}");
    }
    let wrong = format!("{}x", &token[..token.len() - 1]);
    let failure = GrpcRemote::new(&with(&wrong)).unwrap().result(&action("token"), &[]).unwrap_err();
    assert!(failure.kind == FailureKind::Denied && !failure.message.contains(&wrong), "{failure}");
    let remote = GrpcRemote::new(&Connection { headers: Vec::new(), ..with("") }).unwrap();
    assert_eq!(remote.result(&action("token"), &[]).unwrap_err().kind, FailureKind::Denied);
}

/// A JSON web token that is signed with this secret.
fn token(secret: &str) -> Option<String> {
    use std::io::Write as _;
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(r#"{"sub":"tests","exp":9999999999}"#));
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-binary", "-hmac", secret]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = openssl.spawn() else {
        eprintln!("SKIPPED: openssl is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let signature = child.wait_with_output().unwrap().stdout;
    assert_eq!(signature.len(), 32);
    Some(format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature)))
}
