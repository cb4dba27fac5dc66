//! Results by action: asked for, and kept; and what the server says of itself.

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use reapi::action_cache_client::ActionCacheClient;
use reapi::capabilities_client::CapabilitiesClient;
use tonic::transport::Channel;

use super::cas;
use super::link::{MAX_MESSAGE, SharedLink};
use super::messages::{ActionMessages, digest_message, read_result, result_message};
use super::trouble::{Retry, Trouble};
use crate::store::remote::{ActionResult, Failure, FailureKind};

/// The version of the protocol that is spoken here.
const MAJOR: i32 = 2;

/// Asks the server what it can do, and remembers it.
pub(super) async fn greet(link: &SharedLink) -> Result<(), Failure> {
    let request = reapi::GetCapabilitiesRequest { instance_name: link.instance.clone() };
    let mut retry = Retry::default();
    let told = loop {
        let asked = link.ask(link.patience.lookup, request.clone(), |channel, request| {
            let mut client = CapabilitiesClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            async move { client.get_capabilities(request).await }
        });
        let trouble = match asked.await {
            Ok(told) => match unfit(&told) {
                None => break told,
                Some(why) => Trouble::lasting(FailureKind::Unsupported, why),
            },
            Err(trouble) => trouble,
        };
        retry.after(trouble).await.map_err(|trouble| link.failure("use", trouble))?;
    };
    link.learn(&told);
    Ok(())
}

/// Why a server cannot be spoken to.
fn unfit(told: &reapi::ServerCapabilities) -> Option<String> {
    let major = |version: &Option<bazel_remote_apis::build::bazel::semver::SemVer>| version.as_ref().map(|v| v.major);
    let (low, high) = (major(&told.low_api_version), major(&told.high_api_version));
    if low.is_some_and(|low| low > MAJOR) || high.is_some_and(|high| high < MAJOR) {
        return Some(format!("it does not speak version {MAJOR} of the Remote Execution API"));
    }
    let functions = told.cache_capabilities.as_ref().map_or(&[][..], |cache| &cache.digest_functions);
    let sha256 = reapi::digest_function::Value::Sha256 as i32;
    let knows = functions.is_empty() || functions.contains(&sha256);
    (!knows).then(|| "it does not name blobs by SHA-256".to_owned())
}

/// The kept result of an action, unless it failed.
pub(super) async fn result(
    link: &SharedLink,
    messages: &ActionMessages,
    inline: &[&str],
) -> Result<Option<ActionResult>, Failure> {
    let request = reapi::GetActionResultRequest {
        instance_name: link.instance.clone(),
        action_digest: Some(digest_message(messages.key)),
        inline_output_files: inline.iter().map(|path| (*path).to_owned()).collect(),
        ..Default::default()
    };
    let mut retry = Retry::default();
    loop {
        let asked = link.ask(link.patience.lookup, request.clone(), |channel, request| {
            let mut client = client(channel);
            async move { client.get_action_result(request).await }
        });
        let read = asked.await.and_then(|told| {
            link.received(told.output_files.iter().map(|file| file.contents.len()).sum());
            read_result(told, inline)
        });
        match read {
            Ok(result) => return Ok(Some(result).filter(|result| result.exit_code == 0)),
            Err(trouble) if trouble.kind == FailureKind::Missing => return Ok(None),
            Err(trouble) => {
                retry.after(trouble).await.map_err(|trouble| link.failure("ask for a result at", trouble))?
            }
        }
    }
}

/// Keeps a result: first all that it and its action are made of, then itself.
pub(super) async fn update(link: &SharedLink, messages: ActionMessages, result: &ActionResult) -> Result<(), Failure> {
    let (message, trees) = result_message(result);
    let (key, mut blobs) = (messages.key, trees);
    blobs.extend(messages.blobs);
    cas::send_messages(link, blobs).await?;
    let request = reapi::UpdateActionResultRequest {
        instance_name: link.instance.clone(),
        action_digest: Some(digest_message(key)),
        action_result: Some(message),
        ..Default::default()
    };
    let mut retry = Retry::default();
    loop {
        let asked = link.ask(link.patience.lookup, request.clone(), |channel, request| {
            let mut client = client(channel);
            async move { client.update_action_result(request).await }
        });
        match asked.await {
            Ok(_) => return Ok(()),
            Err(trouble) => retry.after(trouble).await.map_err(|trouble| link.failure("keep a result at", trouble))?,
        }
    }
}

fn client(channel: Channel) -> ActionCacheClient<Channel> {
    ActionCacheClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}
