//! `Certificates`: two authorities, and certificates for a server and a client by the first; made by `openssl`.

use std::process::Command;

use tempfile::TempDir;

/// The folder that they lie in: `ca.pem`, `other.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
pub struct Certificates(pub TempDir);

impl Certificates {
    /// Makes them; `None`, loudly, where openssl is not installed.
    pub fn make() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("SKIPPED: openssl is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("server.ext", "subjectAltName=IP:127.0.0.1,DNS:cache.example.com\nbasicConstraints=CA:FALSE\n");
        put("named.ext", "subjectAltName=DNS:cache.example.com\nbasicConstraints=CA:FALSE\n");
        put("client.ext", "subjectAltName=DNS:client\nbasicConstraints=CA:FALSE\n");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let mut lines = Vec::new();
        for name in ["ca", "other"] {
            lines.push(format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"));
        }
        for (name, by) in [("server", "ca"), ("named", "ca"), ("client", "ca")] {
            lines.push(format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            lines.push(format!(
                "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -out {name}.pem -days 2 -extfile \
                 {name}.ext"
            ));
        }
        for line in lines {
            let made = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
        }
        Some(Self(folder))
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }
}
