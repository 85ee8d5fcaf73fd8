//! Plays a scenario on a leg: events to the conversation, its deeds to the leg.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::timeout;
use trunkline_audio::WavWriter;
use trunkline_leg::{
    AudioSource, CallLeg, LegEvent, MediaTick, PlayoutChunk, SAMPLE_RATE_HZ, SignallingCommand,
};
use trunkline_types::{CallTime, EndReason, UtteranceId};

use crate::conversation::{Conversation, Deed};
use crate::line::Line;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::target::Target;

/// Ticks come every 20 ms; a wheel that is silent for this long is dead.
const TICKS_STOPPED: Duration = Duration::from_secs(5);

/// How long a BYE may take.
const HANG_UP: Duration = Duration::from_secs(5);

/// Places one call and plays the scenario to its end.
///
/// `lines` holds the audio of each step. What cannot even begin is an error; what goes wrong on
/// the call stands in the report.
pub(crate) async fn place(
    line: &Line,
    target: &Target,
    scenario: &Scenario,
    lines: &[Vec<i16>],
    record: Option<&Path>,
) -> Result<Report> {
    let recorder = record.map(Recorder::create).transpose()?;
    let leg = line.dial(&target.user).await?;
    let sip_call_id = leg.info.carrier_call_id.clone();
    let mut phone = Phone {
        leg,
        lines,
        conversation: Conversation::new(scenario),
        recorder,
        dialled: Instant::now(),
        answered_after: None,
        codec: None,
        duration: Duration::ZERO,
        end: None,
    };
    phone
        .answer(Duration::from_secs(scenario.limits.answer_s))
        .await;
    phone.talk().await?;
    phone.hang_up().await;
    if let Some(recorder) = phone.recorder {
        recorder.finish()?;
    }
    Ok(Report {
        to: format!("sip:{}@{}", target.user, target.host),
        sip_call_id,
        voice: scenario.voice.clone(),
        codec: phone.codec,
        answered_after_ms: phone.answered_after.map(|span| span.as_secs_f64() * 1000.0),
        duration_ms: phone.duration.as_secs_f64() * 1000.0,
        end: phone.end,
        failure: phone.conversation.failure().map(str::to_owned),
        turns: phone.conversation.turns(),
        gates: scenario.gates.clone(),
    })
}

struct Phone<'a> {
    leg: CallLeg,
    lines: &'a [Vec<i16>],
    conversation: Conversation<'a>,
    recorder: Option<Recorder>,
    dialled: Instant,
    answered_after: Option<Duration>,
    codec: Option<String>,
    duration: Duration,
    end: Option<String>,
}

impl Phone<'_> {
    /// Waits for the answer. Early media before it is not part of the conversation.
    async fn answer(&mut self, limit: Duration) {
        let wait = async {
            while let Some(event) = self.leg.events.recv().await {
                match event {
                    LegEvent::Answered { codec } => {
                        self.codec = Some(codec);
                        self.answered_after = Some(self.dialled.elapsed());
                        return;
                    }
                    LegEvent::Ended { reason, detail } => {
                        self.ended(reason, detail.as_deref());
                        return;
                    }
                    _ => {}
                }
            }
            self.conversation.fail("the line was closed".to_owned());
        };
        if timeout(limit, wait).await.is_err() {
            self.conversation
                .fail(format!("no answer within {} s", limit.as_secs()));
        }
    }

    async fn talk(&mut self) -> Result<()> {
        while self.end.is_none() && self.conversation.failure().is_none() {
            match timeout(TICKS_STOPPED, self.leg.events.recv()).await {
                Ok(Some(LegEvent::Tick(tick))) => {
                    if self.tick(&tick)? == Flow::Finished {
                        break;
                    }
                }
                Ok(Some(LegEvent::Ended { reason, detail })) => {
                    self.ended(reason, detail.as_deref());
                }
                Ok(Some(_)) => {}
                Ok(None) => self.conversation.fail("the line was closed".to_owned()),
                Err(_) => self.conversation.fail("our media stopped".to_owned()),
            }
        }
        Ok(())
    }

    fn tick(&mut self, tick: &MediaTick) -> Result<Flow> {
        self.duration = tick.at.since(CallTime::ZERO);
        if let Some(recorder) = &mut self.recorder {
            recorder.write(tick)?;
        }
        match self.conversation.tick(tick) {
            Some(Deed::Speak(step)) => self.leg.media.play(PlayoutChunk {
                utterance: UtteranceId(u32::try_from(step)?),
                clause: 0,
                source: AudioSource::Clip,
                pcm: self.lines.get(step).cloned().unwrap_or_default(),
            }),
            Some(Deed::Press(digits)) => self.leg.media.send_dtmf(&digits),
            Some(Deed::HangUp) => return Ok(Flow::Finished),
            None => {}
        }
        Ok(Flow::GoesOn)
    }

    fn ended(&mut self, reason: EndReason, detail: Option<&str>) {
        self.end = Some(reason.to_string());
        self.conversation.ended(reason, detail);
    }

    /// Ends the call if it still runs. Whatever the reason, on the wire it is BYE or CANCEL.
    async fn hang_up(&mut self) {
        if self.end.is_some() {
            return;
        }
        let command = SignallingCommand::Hangup(EndReason::WorkflowEnded);
        if self.leg.signalling.send(command).is_err() {
            return;
        }
        let wait = async {
            while let Some(event) = self.leg.events.recv().await {
                if let LegEvent::Ended { reason, .. } = event {
                    return Some(reason.to_string());
                }
            }
            None
        };
        match timeout(HANG_UP, wait).await {
            Ok(end) => self.end = end,
            Err(_) => self
                .conversation
                .fail("our hanging up got no answer".to_owned()),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    GoesOn,
    Finished,
}

/// What this phone sent (left) and heard (right).
struct Recorder(WavWriter<BufWriter<File>>);

impl Recorder {
    fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(WavWriter::new(
            BufWriter::new(file),
            2,
            SAMPLE_RATE_HZ,
        )?))
    }

    fn write(&mut self, tick: &MediaTick) -> Result<()> {
        self.0.write_stereo(&tick.agent.0[..], &tick.caller.0[..])?;
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.0.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
