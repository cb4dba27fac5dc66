//! Keys, signatures and envelopes: any bytes are read or refused, and what is written again is read alike.

use expert_build::base::{Digest, RelPath, Sha256};
use expert_build::format::model_signing::{Bundle, ModelKey, ModelPublicKey};
use expert_build::format::provenance;
use expert_build::format::signature::{PrivateKey, PublicKey, Signature};

/// Reads `data` as everything that is small and means trust.
pub fn trust(data: &[u8]) {
    if let Ok(key) = PrivateKey::read(data) {
        let again = PrivateKey::read(key.to_pem().as_bytes()).expect("a key is read back");
        assert_eq!(again.public().bytes(), key.public().bytes());
        let signature = key.sign(data);
        assert!(key.public().verifies(data, &signature));
        let opened = provenance::envelopes(&provenance::envelope("{}", &key));
        assert_eq!(opened.len(), 1);
        assert!(opened[0].statement == "{}" && provenance::is_by(&opened[0], &key.public()));
    }
    if let Ok(key) = PublicKey::read(data) {
        assert_eq!(PublicKey::read(key.to_string().as_bytes()).map(|k| *k.bytes()), Ok(*key.bytes()));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = PrivateKey::from_seed(&[7; 32]).public();
    for envelope in provenance::envelopes(text) {
        // The seeds have one envelope that this key has signed: what it signed is that and nothing else.
        assert!(!provenance::is_by(&envelope, &key) || envelope.statement == "{}");
        let _ = provenance::read(&envelope.statement);
    }
    if let Ok(bundle) = Bundle::read(text) {
        // The same with the one bundle among them: it vouches for one file.
        let own = ModelKey::from_seed(&[7; 32]).expect("a small scalar").public_pem();
        let own = ModelPublicKey::read(own.as_bytes()).expect("its own form");
        assert!(!bundle.is_by(&own) || (bundle.files.len() == 1 && bundle.ignored.is_empty()));
    }
    if let Ok(key) = ModelKey::read(data) {
        assert!(ModelPublicKey::read(key.public_pem().as_bytes()).is_some());
    }
    if let Ok(signature) = text.parse::<Signature>() {
        assert!(!key.verifies(data, &signature));
    }
    if let Ok(hash) = text.parse::<Sha256>() {
        assert_eq!(hash.hex().parse(), Ok(hash));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
    if let Ok(path) = RelPath::new(text) {
        let tame =
            path.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)) && !text.contains(['\\', '\0']);
        assert!(tame && !text.starts_with('/'), "{text:?}");
    }
}
