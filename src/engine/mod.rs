//! The engine: what is stale, in which order, by which threads, from which cache.
//!
//! In the words of *Build Systems à la Carte*: a **topological** scheduler, **constructive traces**, **early cutoff**.
//!
//! # Decisions, and why
//!
//! * **Topological, not suspending.** All that a task needs is known before the first one runs: one look at names and
//!   stats ([`survey`]) and one small file, the manifest, give the whole graph ([`plan`]). So a circle is found before
//!   anything is read, and a task never waits for another one inside.
//! * **Constructive traces.** A result is kept under a [key] of its inputs' *digests*, with its bytes, and shared by
//!   repos and machines. A key knows nothing of a path on the disk, a time, a user or a thread count.
//! * **Early cutoff.** The key of a package is made when its inputs' digests are there, not from what changed: a touched
//!   file, or one that was edited and put back, ends at a key that the cache has. A package whose bytes stand already is
//!   not written again.
//! * **The stat index is a shortcut, never an authority.** It says "the file with this stat had that digest" and "with
//!   all these stats nothing is to be done" ([`freshness`]). Whatever it says comes from a stat that was old enough when
//!   the file was read (git's racy rule); losing it, damaging it or `--force` costs a reading. It may contain absolute
//!   paths and settings that no key may, as it never leaves this machine.
//! * **Nothing to do is a question to the kernel.** Resolving is a task too: it asks the disk and the request, and nothing
//!   else. A run that leaves all up to date puts these questions with their answers into the index, its *grounds*; while
//!   they hold, the next run compares the stats of all records, block by block and by all threads, and resolves, parses and
//!   hashes nothing ([`freshness::look_at_all`], [`crate::ops::glance`]). Where one answer differs, everything is asked anew.
//! * **The unit of the cache is the packed file, a package is an assembly.** A member's compressed bytes depend on its
//!   content and the codec alone ([`crate::format::segment`]), so files are cached by content and shared between packages;
//!   of a package only the list of pieces and what lies between them is kept ([`record`]).
//! * **Cheap checks first.** Manifest, small files and headers are validated before anything big is read; then values and
//!   hashes, in the same pass that compresses. A key that the cache has was found good by these same checks, whose recipe
//!   number and levels are in it: it is not validated again, and its findings are told from the record.
//! * **One coordinator.** One thread knows what waits for what and speaks to the observer; workers only send it what
//!   became of a task ([`schedule`]). So events have one order, and a panic in a task is that task's failure.
//! * **Tasks for the graph, assists for the cores.** A big file is one task whose 1 MiB chunks any thread may take
//!   ([`pool`], [`stream`]); hashing a stream and writing it, each of which knows one order
//!   only, run beside it ([`lane`]). An assist never
//!   waits for anything, and whoever waits for an assist takes assists meanwhile: one thread is enough, and there is no
//!   circle to lock up in. The locks that are held over work are [flights](tasks::Flights), taken in one order: hint, then
//!   file; and last that of a blob while it is read for its name, under which nothing else is waited for.
//! * **Memory is bounded by threads.** Chunks in flight have one limit for all files; what an expert holds (manifest, small
//!   files, findings) lives from its first task to its last, low task numbers go first, and the workers never get far ahead
//!   of the coordinator, so few experts are open at once. What is finished waits on the disk until the index is written
//!   (`ops::ledger`), so an expert that is not open takes about a kilobyte.
//! * **A big file's packed bytes get their name when its package is written** ([`unnamed`]), where there are fewer experts than
//!   threads and no other machine is told of them. The pass that packs it keeps all cores busy; the SHA-256 of the package,
//!   which cannot begin before that of the file is in the manifest, keeps one. So the BLAKE3 of what was packed is reckoned
//!   there.
//! * **Another machine is asked last and believed in nothing.** What no local cache has may come from a remote one, or from
//!   its workers ([`remote`]): packed bytes only, and only once they were proven to be the source that lies here. For that a big
//!   file is read for its hashes before anything is asked, and again if it must be packed after all.
//! * **A signed package is made where the key is.** Signing is a task of its own, between manifest and archive, and is
//!   never answered by the cache: a signed package's result keeps what it was made of, never its bytes.
//!
//! # What is kept where
//!
//! | what | where | read back by | if it is lost or wrong |
//! |---|---|---|---|
//! | index: stats, digests, outputs, memo, history | `repos/<repo>/index` of the cache | [`freshness`], [`job`] | files are read again |
//! | index: grounds, what the answer "nothing to do" rests on | behind its records | [`crate::ops::glance`] | the repo is resolved again |
//! | package: pieces, members, findings, key text | `results/` by [package key](tasks::compose::package_key) | [`tasks::validate`], [`tasks::archive`] | assembled again |
//! | file: SHA-256, segment table, scan of values | `results/` by [file key](key::KeyText::file) | [`tasks::hash`] | read and compressed again |
//! | hint: "a file of this size and these samples was packed" | `results/` by size and samples | [`tasks::hash`] | one reading more, or one less |
//! | settings, as text | `results/` by their hash | [`explain`] | a change is noticed but not named |
//! | SHA-256 of packed bytes: their name on another machine | `results/` by their digest | [`remote::uploads`] | reckoned again |
//! | packed bytes of a file | `blobs/` by digest | [`tasks::assemble`] | compressed again |
//! | manifest, small files, findings | memory, while the [`job`] is open | the job's tasks | – |
//!
//! Records end with their BLAKE3, blobs are named by theirs; both are checked when they are used.
//!
//! # What happens on a kill
//!
//! At any moment: outputs, records and the index appear by rename, so each is the old one or the new one. Temporaries that
//! nobody locks are removed by the next run into the same folder, those of the cache by its collector. What lies beside
//! a package (checksum, provenance, model signature) is taken away before the package is replaced, so there may be none for
//! a moment, never that of other bytes. The index is written at the end of a run: after a kill the next run finds the
//! experts stale, their results in the cache and their packages standing, and writes nothing twice.
//!
//! A failed expert keeps its old record, which its changed stats contradict. One that was skipped because something
//! before it failed is not remembered either: only an expert whose every task ended well enters the index.

pub mod ahead;
pub mod beside;
pub mod chunk;
pub mod explain;
pub mod files;
pub mod finished;
pub mod freshness;
pub mod job;
pub mod key;
pub mod lane;
pub mod layout;
pub mod limits;
pub mod plan;
pub mod pool;
pub mod record;
pub mod remote;
pub mod schedule;
pub mod scratch;
pub mod stream;
pub mod survey;
pub mod target;
pub mod tasks;
pub mod unnamed;
