//! Past one machine: packed files from another one's cache, or packed by its workers, and ours for others.
//!
//! The other machine is a server of Bazel's Remote Execution API ([`crate::store::Remote`]). What it is asked for are actions
//! ([`task`]), what it answers are packed files with their tables ([`record`]).
//!
//! # Decisions, and why
//!
//! * **Nothing is believed.** A package is a function of its inputs, and the inputs lie here. Manifest, headers, findings and
//!   the whole assembly are made here each time, which costs next to nothing; only packed bytes come from elsewhere, and they
//!   count once they were unpacked and what came out had the BLAKE3 of the source ([`proof`]), segment by segment in all threads,
//!   each segment standing for itself ([`crate::format::segment_reader`]). What a poisoned cache can do is cost time. That holds for
//!   workers too: below is what each of their claims is worth.
//! * **So the source is read first.** An action is named by the SHA-256 of its inputs, so a big file is read before anything
//!   is asked, for both hashes and a look at its values, and a second time if it has to be packed after all. A hint of size and
//!   samples, as the local cache has, would save the second reading and cost one round trip for each expert at every hit.
//!   The second reading comes from the page cache and takes no SHA-256, whose order is the bottleneck of the first: it adds
//!   BLAKE3 (8 % of the work of a whole pass) and the copy out of the page cache. A file whose names the index knows is read
//!   at most once, to be packed, and one that anybody's cache has packed not at all: the values of weights are looked at in
//!   what is unpacked for the proof.
//! * **One question for an expert first.** Its answer brings the tables, all small files and the names of the big ones. Only where
//!   it is not there are big files asked for by themselves: whoever changed the README finds the weights so.
//! * **What only the local cache had is offered.** A server that is new, or has forgotten, is filled by whoever restores a
//!   package and may write: one question for an expert, and what it lacks. What is up to date is not looked at for that.
//! * **The same action for cache and worker.** A worker's differs by the program among its inputs and by nothing else, and
//!   what it made is kept under the name without the program too: machines whose programs were compiled apart share results.
//! * **Waiting costs no thread.** Who waits for an answer is [away](crate::engine::pool::Pool::away), and another thread works.
//!   Sending goes on beside the build ([`uploads`]) and is waited for at its end.
//! * **Signing is never asked for.** A signed expert asks for its parts, and its key is in no action.
//!
//! # What a worker does, and what of it counts
//!
//! Its task is the whole of an expert's build: all checks over manifest, headers and values, all hashes, packing. Its result is
//! the packed files with the SHA-256 of each source, or, of an expert that is wrong, what was found. No more is believed of that
//! than of a cache, as validation is promised to be this machine's own:
//!
//! | a worker says | what is done here |
//! |---|---|
//! | these are the hashes | they are compared with the names of its inputs, which had to be known here before it could be asked |
//! | these are the packed bytes | they are unpacked, and BLAKE3 says whether that is the source; the source is not read |
//! | nothing is wrong with the values | they are looked at in what was just unpacked; findings are made here, and no reading is needed for them |
//! | this is wrong | nothing is packed; the values are read here. What is told are the findings of here, the same as ever; where there are none, that is told as the worker's fault, and the expert is packed here |
//!
//! So one thing cannot be handed over, whatever the worker is trusted with: **hashing**. The protocol names an input by its
//! SHA-256, so whoever asks has hashed it, unless the index remembers the names of files that have not changed since.
//! Where the reading for a name is due, the values are looked at in it, and what is wrong goes nowhere: it would cost sending
//! the file to have somebody else look at bytes that pass by here anyway. Where it is not due (another compression or level, a
//! collected cache, other checks), a worker's validation saves this machine its reading. A refusal is never kept for
//! others: it is not proven, and nobody could use it but by looking again.
//!
//! # What it costs
//!
//! Round trips, for an expert whose packed files are `b` big ones (over 1 MiB) and small ones:
//!
//! | | asks | fetches | sends |
//! |---|---|---|---|
//! | nothing changed here | 0, and no connection | 0 | 0 |
//! | restored from the local cache, all is there | 1 where results are sent, else 0 | 0 | 0 |
//! | restored from the local cache, nothing is there | 1 | 0 | 4 + 3 `b` |
//! | fresh checkout, all is there | 1 | `b`, and 1 where the server does not send records along or files are of 16 KiB to 1 MiB | 0 |
//! | the README changed, the local cache has the rest | 1 | 0 | 4 + 2 `b` |
//! | the README changed, on a fresh machine | 1 + `b` | `b` | 4 |
//! | nothing is there | 1 + `b` | 0 | 4 + 3 `b` |
//! | packed by a worker | 1 + `b` | `b`, and 1 | 4 + `b` for inputs and action, then 4 + 2 `b` for results |
//! | packed by a worker, and left there | 1 + `b` | 1 where the server does not send records along | 4 + `b` for inputs and action, then 2 |
//!
//! A file that many experts share (a tokenizer) is fetched once and sent once. With one big file of 20 MiB and six small ones in
//! each expert, 80 % of its size when packed; the name of an action and its record are 3 KiB together:
//!
//! | experts | fresh checkout | bytes down | nothing is there | bytes up | answers of 20 ms, 16 at once |
//! |---|---|---|---|---|---|
//! | 10 | 20 | 160 MiB | 90 | 160 MiB | 0.03 s |
//! | 1,000 | 2,000 | 16 GiB | 9,000 | 16 GiB | 2.5 s |
//! | 100,000 | 200,000 | 1.6 TiB | 900,000 | 1.6 TiB | 250 s |
//!
//! So on a warm cache it is 2 round trips for an expert of five tasks (3 where the server does not send records along, as
//! buildbox-casd), 1 or 2 for one without big files, and what decides are the bytes: `download = "minimal"`
//! fetches none and takes 1 round trip for each expert. `tests/e2e/remote.rs` counts these rows with a server in memory and
//! `tests/remote` with real ones.
//!
//! Seen once with a release program, 1 GiB of bfloat16 weights in gzip and buildbox-casd on the same two busy cores: cold,
//! 828.7 MB went up; with another README, 42,759 bytes from the machine that had built it and 42,387 from a fresh one; a fresh
//! checkout took 828.7 MB, compressed nothing and had the same bytes. Of three such packages a third was sent when the last was in
//! its place. A restored package is no cheaper here than one that is packed, as it has to be proven: 9 CPU seconds for gzip, 7
//! for zstd, against 4. What it saves is compression by whatever is slower than our own, and `minimal` saves all but the hashes.
//!
//! # What 100 workers would do
//!
//! Simulated by `tests/e2e/remote_scale.rs`, with this program's own plan and its own decisions who travels
//! ([`Link::may_execute`], [`most_open`](crate::engine::schedule::most_open)), and with rates that were measured: experts of
//! 20 MiB, two cores here, answers of 20 ms, a sandbox that takes 0.1 s to start. Of each run the seconds, and how many of the
//! experts were packed by workers; the test that prints the rows compares them with these.
//!
//! | inputs, packages, line | experts | no worker | 10 workers | 100 workers |
//! |---|---|---|---|---|
//! | gzip, inputs sent, 1 Gbit/s | 10 | 0.4 s | 2.0 s, 80 % | 2.0 s, 80 % |
//! | gzip, inputs sent, 1 Gbit/s | 1,000 | 41 s | 59 s, 32 % | 59 s, 32 % |
//! | gzip, inputs sent, 1 Gbit/s | 100,000 | 4,173 s | 5,864 s, 32 % | 5,864 s, 32 % |
//! | zstd, inputs sent, 10 Gbit/s | 10 | 0.4 s | 0.6 s, 100 % | 0.6 s, 100 % |
//! | zstd, inputs sent, 10 Gbit/s | 1,000 | 41 s | 47 s, 73 % | 47 s, 98 % |
//! | zstd, inputs sent, 10 Gbit/s | 100,000 | 4,173 s | 4,740 s, 72 % | 4,706 s, 98 % |
//! | zstd, inputs there, names known, 10 Gbit/s | 10 | 0.4 s | 0.5 s, 80 % | 0.5 s, 80 % |
//! | zstd, inputs there, names known, 10 Gbit/s | 1,000 | 41 s | 32 s, 47 % | 33 s, 17 % |
//! | zstd, inputs there, names known, 10 Gbit/s | 100,000 | 4,173 s | 3,193 s, 47 % | 3,278 s, 18 % |
//! | inputs there, packages stay | 10 | 0.4 s | 0.4 s, 100 % | 0.4 s, 100 % |
//! | inputs there, packages stay | 1,000 | 41 s | 24 s, 71 % | 15 s, 100 % |
//! | inputs there, packages stay | 100,000 | 4,173 s | 2,438 s, 71 % | 1,479 s, 100 % |
//! | inputs there, packages stay, names known | 10 | 0.4 s | 0.3 s, 100 % | 0.3 s, 100 % |
//! | inputs there, packages stay, names known | 1,000 | 41 s | 20 s, 62 % | 7.9 s, 100 % |
//! | inputs there, packages stay, names known | 100,000 | 4,173 s | 2,023 s, 62 % | 765 s, 100 % |
//!
//! So they pay where the packages are left there (`download = "minimal"`), and the more so where nothing is to be read for
//! names. Where packages come here they do not: to carry and prove what a worker packed takes this machine longer than to pack
//! it, which is two and a half seconds of a core for a GiB. Proving gzip takes four, as inflating is slower than our own
//! compression of weights; zstd takes 0.6. What is lost by asking for workers all the same is bounded, and the test holds it
//! so: no more experts travel at once than the line carries (`CARRIED`), and what finds no free worker is packed by this
//! machine's own threads.

pub mod execute;
pub mod give;
pub mod link;
pub mod offer;
pub mod proof;
pub mod record;
pub mod take;
pub mod task;
pub mod uploads;

pub use give::give;
pub use link::{Link, Policy, Worker};
pub use offer::offer;
pub use take::{Taken, take};
