//! `Server`: a docker-registry on loopback that can be killed and started again over the same storage.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `me` and `hunter2`, by bcrypt.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// A registry.
pub struct Server {
    program: PathBuf,
    /// Its configuration, and below `storage` what it keeps.
    pub folder: TempDir,
    pub port: u16,
    child: Option<Child>,
    is_tls: bool,
}

/// What a registry wants.
#[derive(Default)]
pub struct Wants {
    pub password: bool,
    pub tls: bool,
}

impl Server {
    /// A registry that takes anything from anybody; `None`, loudly, where none is installed.
    pub fn start() -> Option<Self> {
        Self::wanting(&Wants::default())
    }

    pub fn wanting(wants: &Wants) -> Option<Self> {
        let Some(program) = find("docker-registry") else {
            eprintln!("SKIPPED: docker-registry is not installed (Debian: apt-get install docker-registry)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: \
             {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n",
            at("storage")
        );
        if wants.password {
            std::fs::write(at("htpasswd"), HTPASSWD).unwrap();
            config.push_str(&format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", at("htpasswd")));
        }
        config.push_str(&format!("http:\n  addr: 127.0.0.1:{port}\n"));
        if wants.tls {
            if !certificates(folder.path()) {
                return None;
            }
            config.push_str(&format!("  tls: {{certificate: {}, key: {}}}\n", at("server.pem"), at("server.key")));
        }
        std::fs::write(at("config.yml"), config).unwrap();
        let mut server = Self { program, folder, port, child: None, is_tls: wants.tls };
        server.restart();
        Some(server)
    }

    /// Starts it again, with what it stored.
    pub fn restart(&mut self) {
        let config = self.folder.path().join("config.yml");
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.env_clear().spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The authority that vouches for its certificate, and one that does not.
    pub fn authorities(&self) -> (PathBuf, PathBuf) {
        assert!(self.is_tls);
        (self.folder.path().join("ca.pem"), self.folder.path().join("other.pem"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program in the usual places.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/bin", "/usr/bin", "/bin"]).filter(|folder| !folder.is_empty());
    folders.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Two authorities, and a certificate for this machine by the first.
fn certificates(folder: &Path) -> bool {
    let Some(openssl) = find("openssl") else {
        eprintln!("SKIPPED: openssl is not installed");
        return false;
    };
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for line in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=one"),
        format!("req -x509 {key} -keyout other.key -out other.pem -days 2 -subj /CN=other"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=server"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san".into(),
    ] {
        let made = Command::new(&openssl).args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
    }
    true
}
