//! Events: what has happened, told once. An Event that cannot be written is a line in the log, never a failure.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use serde_json::Value;

use super::context::Context;
use crate::status::{News, Weight};

/// The longest note that the API takes.
const NOTE_BYTES: usize = 1000;

/// Tells what has happened to this object.
pub(super) async fn publish(context: &Context, object: &Value, all: Vec<News>) {
    let reference = reference(object);
    for news in all {
        // One for each: it keeps its Events for six minutes, and takes the next one with the same reason for the same once more,
        // whatever it says.
        let recorder = Recorder::new(context.objects.client().clone(), context.reporter.clone());
        tracing::info!(reason = news.reason, note = news.note, "{}", news.action);
        let event = Event {
            type_: match news.weight {
                Weight::Normal => EventType::Normal,
                Weight::Warning => EventType::Warning,
            },
            reason: news.reason,
            note: Some(cut(news.note)),
            action: news.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}

fn cut(mut note: String) -> String {
    let end =
        (0..=NOTE_BYTES.min(note.len())).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
    note.truncate(end);
    note
}

fn reference(object: &Value) -> ObjectReference {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    ObjectReference {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
        resource_version: text("/metadata/resourceVersion"),
        field_path: None,
    }
}
