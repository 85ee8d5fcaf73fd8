//! A JSON body, taken apart field by field, so that what is wrong is named and what is unknown
//! is refused rather than ignored.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Refusal;

/// The fields of a request that were not taken yet. `null` is the same as absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Self, Refusal> {
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let most = super::MAX_JSON_BODY >> 20;
                Refusal::too_large(format!("the body is larger than {most} MiB"))
            }
            _ => Refusal::bad_request(rejection.body_text()),
        })?;
        let text = std::str::from_utf8(&body).map_err(|error| {
            let at = error.valid_up_to();
            Refusal::bad_request(format!("the body is not UTF-8 from byte {at} on"))
        })?;
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::bad_request("the body is not a JSON object")),
            Err(error) => Err(Refusal::bad_request(format!(
                "the body is not JSON: {error}"
            ))),
        }
    }

    /// Takes a field.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| wrong(name, &error.to_string())),
        }
    }

    /// Takes a field that must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        self.take(name)?.ok_or_else(|| wrong(name, "it is missing"))
    }

    /// Takes a number that must lie between two.
    pub(super) fn number(
        &mut self,
        name: &str,
        least: f32,
        most: f32,
    ) -> Result<Option<f32>, Refusal> {
        let number: Option<f32> = self.take(name)?;
        match number {
            Some(number) if !(least..=most).contains(&number) => {
                Err(wrong(name, &format!("it must be {least} to {most}")))
            }
            number => Ok(number),
        }
    }

    /// Lets a field pass that means nothing here and changes no answer.
    pub(super) fn pass_over(&mut self, names: &[&str]) {
        for name in names {
            self.0.remove(*name);
        }
    }

    /// Refuses a field unless it has one of the values that change nothing.
    pub(super) fn only(&mut self, name: &str, harmless: &[Value]) -> Result<(), Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if harmless.contains(&value) => Ok(()),
            Some(value) => Err(wrong(name, &format!("{value} is not supported here"))),
        }
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.into_iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(wrong(&name, "this server does not know it")),
            None => Ok(()),
        }
    }
}

/// The refusal of a field.
pub(super) fn wrong(name: &str, why: &str) -> Refusal {
    Refusal::bad_request(format!("{name}: {why}")).param(name)
}
