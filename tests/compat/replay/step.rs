//! One request of a sequence, before it is known where it goes on either side.

use super::wire::Body;

/// An upload of a scene. Each registry has its own id for it.
pub(super) type Slot = usize;

/// A request that is to be sent to both registries.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) method: String,
    pub(super) target: Target,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// The upload whose id and Location the answer tells.
    pub(super) slot: Option<Slot>,
}

/// Requests that go together, and what makes the stores equal again when the answers to one of them have parted them. Without that
/// the sequence ends there.
pub(super) struct Act {
    pub(super) steps: Vec<Step>,
    pub(super) mend: Vec<Step>,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// To a path below the prefix; it begins with a slash.
    Path(String),
    /// To a path beside the prefix.
    Outside(String),
    /// To an upload.
    Upload { slot: Slot, state: State, query: String },
}

/// What a request to an upload says of the upload's state.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// What the last answer gave out.
    Given,
    /// Nothing.
    Missing,
    /// Some text.
    Forged(String),
    /// That of another upload.
    Of(Slot),
    /// What the last answer gave out, in another repository.
    In(String),
}

impl Act {
    pub(super) fn new(steps: Vec<Step>, mend: &[Step]) -> Self {
        Self { steps, mend: mend.to_vec() }
    }

    /// Each request for itself.
    pub(super) fn each(steps: Vec<Step>, mend: &[Step]) -> Vec<Self> {
        steps.into_iter().map(|step| Self::new(vec![step], mend)).collect()
    }
}

impl Step {
    pub(super) fn new(method: &str, path: impl Into<String>) -> Self {
        Self::to(method, Target::Path(path.into()))
    }

    /// A request to an upload, with more in its query.
    pub(super) fn upload(method: &str, slot: Slot, state: State, query: impl Into<String>) -> Self {
        let step = Self::to(method, Target::Upload { slot, state, query: query.into() });
        Self { slot: Some(slot), ..step }
    }

    pub(super) fn to(method: &str, target: Target) -> Self {
        let body = if matches!(method, "POST" | "PUT" | "PATCH") { Body::Sized(bytes::Bytes::new()) } else { Body::Absent };
        Self { method: method.to_owned(), target, headers: Vec::new(), body, slot: None }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    pub(super) fn begins(self, slot: Slot) -> Self {
        Self { slot: Some(slot), ..self }
    }
}
