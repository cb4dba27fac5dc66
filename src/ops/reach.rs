//! `Reach`: how registries are reached, as the user says; and the events of what goes there and back.

use std::path::PathBuf;

use crate::base::event::{Direction, Observer, Transfer};
use crate::base::{Event, Result};
use crate::format::oci::Reference;
use crate::store::oci::{Connection, Registry};

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Speak HTTP, not HTTPS. This machine's own registries are spoken to so unless `ca_file` is given.
    pub plain_http: bool,
    /// Certificates of authorities that are trusted beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Docker's `config.json`, which says how to log in.
    pub docker_config: Option<PathBuf>,
}

impl Reach {
    /// The registry that holds this.
    pub(crate) fn registry(&self, reference: &Reference, direction: Direction) -> Result<Registry> {
        Registry::new(&Connection {
            host: reference.host.clone(),
            plain_http: self.plain_http || (reference.is_loopback() && self.ca_file.is_none()),
            ca_file: self.ca_file.clone(),
            docker_config: self.docker_config.clone(),
            push: direction == Direction::Upload,
        })
    }
}

/// Tells how far the parts of one artifact are.
pub(crate) struct Progress<'a> {
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) reference: String,
    pub(crate) direction: Direction,
    /// Which part it is of how many.
    pub(crate) number: usize,
    pub(crate) count: usize,
    told: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, reference: &Reference, direction: Direction) -> Self {
        Self { observer, reference: reference.to_string(), direction, number: 0, count: 0, told: 0 }
    }

    /// The part has gone this far. Small steps are not told.
    pub(crate) fn moving(&mut self, subject: &str, bytes: u64, of: u64) {
        let step = (of / 100).max(1 << 20);
        if bytes >= self.told + step {
            self.told = bytes;
            self.tell(subject, Transfer::Moving, bytes, of);
        }
    }

    /// The part begins, or is there.
    pub(crate) fn tell(&mut self, subject: &str, state: Transfer, bytes: u64, of: u64) {
        if state == Transfer::Begun {
            self.number += 1;
            self.told = bytes;
        }
        self.observer.on(&Event::Transfer {
            reference: self.reference.clone(),
            subject: subject.to_owned(),
            direction: self.direction,
            state,
            bytes,
            of,
            number: self.number,
            count: self.count,
        });
    }
}
