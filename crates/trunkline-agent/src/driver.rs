//! Runs one call: feeds the core and carries out what it decides.
//!
//! Everything that touches the world is here; every decision is the core's.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use trunkline_inference::{
    ChatRequest, ChoiceRequest, Sampling, SpeechEvent, SpeechRequest, TranscribeOptions,
    TranscriberInput, Urgency,
};
use trunkline_leg::{AudioSource, CallLeg, LegEvent, MediaTick, PlayoutChunk, SignallingCommand};
use trunkline_store::{CallRecording, EventRow, TranscriptLine, TurnRecord};
use trunkline_types::{CallDirection, CallTime, EndReason, Party, TICK, Timestamp, UtteranceId};

use crate::AgentParts;
use crate::ahead::Ahead;
use crate::core::CallCore;
use crate::frames::{CoreFrame, FrameRun};
use crate::log::{Decision, Input, LiveEntry, LogEntry, LogEvent, Opening, Turn};
use crate::memory::AudioMemory;
use crate::sound::Sound;
use crate::streams::{self, Report, Running};

/// What is being heard fades out over this when the caller cuts in: short enough to stop within
/// one frame, long enough not to click.
const BARGE_IN_FADE: Duration = Duration::from_millis(20);

/// Frames are logged in runs of at most this many: the most that a crash may cost.
const LONGEST_RUN: u32 = 25;

/// How long to wait for the leg to confirm the end of a call.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Runs a call to its end.
pub(crate) struct Driver {
    parts: Arc<AgentParts>,
    leg: CallLeg,
    core: CallCore,
    recording: Option<CallRecording>,
    inbox: mpsc::UnboundedReceiver<Report>,
    post: streams::Inbox,
    memory: AudioMemory,
    transcriptions: HashMap<UtteranceId, Transcription>,
    requests: HashMap<u32, Running>,
    ahead: Ahead,
    clauses: VecDeque<Clause>,
    speaking: Option<(Clause, Running, Sound)>,
    run: FrameRun,
    seq: u64,
    last_tick: CallTime,
    last_tick_came: Instant,
    /// The first sound of a caller who cut in, until the agent's last sample is sent.
    falling_silent_for: Option<CallTime>,
    ended: Option<(EndReason, Option<String>)>,
}

/// How a call came out of its driver.
pub(crate) struct Finished {
    pub(crate) reason: EndReason,
    pub(crate) detail: Option<String>,
    pub(crate) disposition: Option<String>,
    pub(crate) recording: Option<CallRecording>,
}

struct Transcription {
    audio: mpsc::UnboundedSender<TranscriberInput>,
    _stream: Running,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    utterance: UtteranceId,
    number: u32,
    text: String,
}

impl Driver {
    pub(crate) fn new(parts: Arc<AgentParts>, leg: CallLeg, core: CallCore) -> Self {
        let (post, inbox) = mpsc::unbounded_channel();
        let recording = parts.recorder.as_ref().map(|r| r.begin(leg.info.call_id));
        Self {
            parts,
            leg,
            core,
            recording,
            inbox,
            post,
            memory: AudioMemory::default(),
            transcriptions: HashMap::new(),
            requests: HashMap::new(),
            ahead: Ahead::default(),
            clauses: VecDeque::new(),
            speaking: None,
            run: FrameRun::default(),
            seq: 0,
            last_tick: CallTime::ZERO,
            last_tick_came: Instant::now(),
            falling_silent_for: None,
            ended: None,
        }
    }

    /// Answers (when the far end called) and runs the call until the leg is gone.
    pub(crate) async fn run(
        mut self,
        opening: Opening,
        mut shutdown: watch::Receiver<bool>,
    ) -> Finished {
        if self.leg.info.direction == CallDirection::Inbound {
            let _ = self.leg.signalling.send(SignallingCommand::Ring);
            let _ = self.leg.signalling.send(SignallingCommand::Answer);
        }
        self.tell(Input::Opened(opening));
        while self.ended.is_none() {
            tokio::select! {
                biased;
                event = self.leg.events.recv() => self.leg_event(event).await,
                Some(report) = self.inbox.recv() => self.report(report),
                () = stopped(&mut shutdown) => {
                    shutdown = never();
                    self.tell(Input::ShutDown);
                }
            }
        }
        let (reason, detail) = self.ended.take().unwrap_or((EndReason::AgentFailed, None));
        Finished {
            reason,
            detail,
            disposition: self.core.disposition(),
            recording: self.recording,
        }
    }

    async fn leg_event(&mut self, event: Option<LegEvent>) {
        match event {
            Some(LegEvent::Tick(tick)) => self.tick(tick),
            Some(LegEvent::Dtmf { digit, .. }) => self.tell(Input::Digit { digit }),
            Some(LegEvent::Answered { codec }) => {
                let answered = self
                    .parts
                    .store
                    .mark_answered(self.leg.info.call_id, now(), &codec);
                if let Err(error) = answered.await {
                    tracing::warn!(%error, "the answer of a call could not be stored");
                }
                self.tell(Input::Answered { codec });
            }
            Some(LegEvent::Held) => self.tell(Input::Held),
            Some(LegEvent::Resumed) => self.tell(Input::Resumed),
            Some(LegEvent::Ringing) => {}
            Some(LegEvent::Ended { reason, detail }) => self.end(reason, detail),
            None => self.end(EndReason::AgentFailed, Some("the leg went away".to_owned())),
        }
    }

    fn end(&mut self, reason: EndReason, detail: Option<String>) {
        self.tell(Input::Ended {
            reason,
            detail: detail.clone(),
        });
        self.ended = Some((reason, detail));
    }

    fn tick(&mut self, tick: MediaTick) {
        self.last_tick = tick.at;
        self.last_tick_came = Instant::now();
        if let Some(recording) = &mut self.recording {
            recording.push(&tick.caller.0[..], &tick.agent.0[..]);
        }
        for transcription in self.transcriptions.values() {
            let _ = transcription
                .audio
                .send(TranscriberInput::Audio(tick.caller.0.to_vec()));
        }
        self.memory.push(tick.at, tick.caller);
        if tick.playing.is_none()
            && let Some(from) = self.falling_silent_for.take()
        {
            crate::measure::barged_in((tick.at - TICK).since(from));
        }
        let frame = CoreFrame {
            at: tick.at,
            speech: tick.speech,
            playing: tick.playing,
        };
        if !self.run.push(frame) {
            self.log_run();
            self.run.push(frame);
        }
        let mut decisions = Vec::new();
        self.core.frame(frame, &mut decisions);
        if !decisions.is_empty() || self.run.len() >= LONGEST_RUN {
            self.log_run();
        }
        self.carry_out(decisions);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Core(input) => self.tell(input),
            Report::Speech {
                utterance,
                clause,
                event,
            } => self.speech(utterance, clause, event),
        }
    }

    /// Logs an input, gives it to the core, and carries out what it decides.
    fn tell(&mut self, input: Input) {
        crate::measure::input(&input);
        self.log_run();
        let at = self.call_time();
        let mut decisions = Vec::new();
        self.core.handle(at, &input, &mut decisions);
        self.log(at, LogEvent::In(input));
        self.carry_out(decisions);
    }

    /// The call's clock between two ticks. Never beyond the next tick, so time never goes back.
    fn call_time(&self) -> CallTime {
        self.last_tick + self.last_tick_came.elapsed().min(TICK)
    }

    fn carry_out(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            let at = self.core.time();
            self.log(at, LogEvent::Out(decision.clone()));
            self.carry_out_one(decision);
        }
    }

    fn carry_out_one(&mut self, decision: Decision) {
        match decision {
            Decision::Listen { utterance, from } => self.listen(utterance, from),
            Decision::Discard { utterance } => {
                self.transcriptions.remove(&utterance);
            }
            Decision::Finish { utterance, .. } => self.finish(utterance),
            Decision::Choose {
                request,
                messages,
                neutral,
                options,
            } => {
                let neutral = (!neutral.is_empty()).then_some(neutral);
                let asked = self.parts.chat.choose(ChoiceRequest {
                    messages,
                    options,
                    neutral,
                    urgency: Urgency::TurnCritical,
                });
                self.keep(
                    request,
                    asked.map(|p| streams::choice(request, p, self.post.clone())),
                );
            }
            Decision::Generate {
                request,
                messages,
                max_tokens,
                stop,
            } => {
                let sampling = Sampling::default();
                let asked = self.parts.chat.generate(ChatRequest {
                    messages,
                    max_tokens,
                    sampling,
                    stop,
                    ..ChatRequest::default()
                });
                self.keep(
                    request,
                    asked.map(|s| streams::reply(request, s, self.post.clone())),
                );
            }
            Decision::Anticipate { kept, messages } => {
                self.ahead.expect(self.parts.chat.as_ref(), kept, messages);
            }
            Decision::EndAnticipation => {
                if let Some(account) = self.ahead.end() {
                    streams::anticipated(account, self.post.clone());
                }
            }
            Decision::CancelModel { request } => {
                self.requests.remove(&request);
            }
            Decision::Speak {
                utterance,
                clause,
                text,
            } => {
                self.clauses.push_back(Clause {
                    utterance,
                    number: clause,
                    text,
                });
                self.speak_next();
            }
            Decision::StopSpeaking { caller_from, .. } => {
                self.falling_silent_for = caller_from;
                self.clauses.clear();
                self.speaking = None;
                self.leg.media.clear(BARGE_IN_FADE);
            }
            Decision::Spoken {
                from,
                text,
                heard,
                interrupted,
                ..
            } => {
                let intended = interrupted.then_some(text);
                self.transcript_line(Party::Agent, from, heard, intended);
            }
            Decision::Heard { began, text, .. } => {
                self.transcript_line(Party::Caller, began, text, None);
            }
            Decision::Turn(turn) => self.store_turn(turn),
            Decision::Hangup { reason } => {
                let _ = self.leg.signalling.send(SignallingCommand::Hangup(reason));
                self.hang_up_at_last(reason);
            }
            Decision::Entered { .. } | Decision::Set { .. } | Decision::Withdraw { .. } => {}
        }
    }

    /// A leg that does not confirm the end within its time is taken for gone.
    fn hang_up_at_last(&self, reason: EndReason) {
        let post = self.post.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORD).await;
            let detail = Some("the leg did not confirm the end".to_owned());
            let _ = post.send(Report::Core(Input::Ended { reason, detail }));
        });
    }

    fn listen(&mut self, utterance: UtteranceId, from: CallTime) {
        let options = TranscribeOptions {
            language: self.core.language().map(str::to_owned),
            partials: true,
            ..TranscribeOptions::default()
        };
        match self.parts.transcriber.open(options) {
            Ok(session) => {
                let _ = session
                    .audio
                    .send(TranscriberInput::Audio(self.memory.since(from)));
                let stream = streams::transcript(utterance, session.events, self.post.clone());
                let transcription = Transcription {
                    audio: session.audio,
                    _stream: stream,
                };
                self.transcriptions.insert(utterance, transcription);
            }
            Err(error) => {
                let why = error.to_string();
                self.post_core(Input::TranscriptFailed { utterance, why });
            }
        }
    }

    fn finish(&self, utterance: UtteranceId) {
        if let Some(transcription) = self.transcriptions.get(&utterance) {
            let _ = transcription.audio.send(TranscriberInput::Finish);
        }
    }

    fn keep(
        &mut self,
        request: u32,
        running: Result<Running, trunkline_inference::InferenceError>,
    ) {
        match running {
            Ok(running) => {
                self.requests.insert(request, running);
            }
            Err(error) => self.post_core(Input::ModelFailed {
                request,
                why: error.to_string(),
            }),
        }
    }

    /// Through the inbox, so that the core is never told something while it decides.
    fn post_core(&self, input: Input) {
        let _ = self.post.send(Report::Core(input));
    }

    /// Clauses are spoken one after the other; the next begins when the last one is complete.
    fn speak_next(&mut self) {
        if self.speaking.is_some() {
            return;
        }
        let Some(clause) = self.clauses.pop_front() else {
            return;
        };
        let request = SpeechRequest {
            text: clause.text.clone(),
            voice: self.parts.voice_name.clone(),
            urgency: match clause.number {
                0 => Urgency::TurnCritical,
                _ => Urgency::Playing,
            },
            ..SpeechRequest::default()
        };
        match self.parts.voice.synthesize(request) {
            Ok(stream) => {
                let (utterance, number) = (clause.utterance, clause.number);
                let running = streams::speech(utterance, number, stream, self.post.clone());
                self.speaking = Some((clause, running, Sound::default()));
            }
            Err(error) => self.post_core(Input::ClauseFailed {
                utterance: clause.utterance,
                clause: clause.number,
                why: error.to_string(),
            }),
        }
    }

    fn speech(&mut self, utterance: UtteranceId, clause: u32, event: SpeechEvent) {
        let Some((current, _, sound)) = &mut self.speaking else {
            return;
        };
        if (current.utterance, current.number) != (utterance, clause) {
            return;
        }
        match event {
            SpeechEvent::Audio(pcm) => {
                sound.push(&pcm);
                let source = AudioSource::Live;
                self.leg.media.play(PlayoutChunk {
                    utterance,
                    clause,
                    source,
                    pcm,
                });
            }
            SpeechEvent::Done { .. } => {
                let ready = Input::ClauseReady {
                    utterance,
                    clause,
                    duration_ms: sound.duration_ms(),
                    sounds_from_ms: sound.begins_ms(),
                    sounds_until_ms: Some(sound.ends_ms()),
                };
                self.speaking = None;
                self.tell(ready);
                self.speak_next();
            }
            SpeechEvent::Failed(error) => {
                self.speaking = None;
                self.tell(Input::ClauseFailed {
                    utterance,
                    clause,
                    why: error.to_string(),
                });
                self.speak_next();
            }
        }
    }

    fn transcript_line(&self, party: Party, at: CallTime, text: String, intended: Option<String>) {
        if !text.is_empty() {
            let until = self.core.time();
            let line = TranscriptLine {
                party,
                at,
                until,
                text,
                intended,
            };
            self.parts.journal.transcript(self.leg.info.call_id, line);
        }
    }

    fn store_turn(&self, turn: Turn) {
        crate::measure::turn(&turn);
        let latency = turn.latency;
        self.parts.journal.turn(TurnRecord {
            call_id: self.leg.info.call_id,
            index: turn.index,
            began: turn.began,
            node: turn.node,
            heard: turn.heard,
            dtmf: turn.dtmf,
            agent_said: turn.agent_said,
            agent_heard_by_caller: turn.agent_heard,
            interrupted: turn.interrupted,
            end_of_turn_ms: latency.end_of_turn_ms,
            stt_final_ms: latency.stt_final_ms,
            llm_first_token_ms: latency.llm_first_token_ms,
            first_audio_ms: latency.first_audio_ms,
            voice_to_voice_ms: latency.voice_to_voice_ms,
        });
    }

    fn log_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let next = FrameRun::after(self.run.last_mark());
        let run = std::mem::replace(&mut self.run, next);
        self.log(self.last_tick, LogEvent::In(Input::Frames(run)));
    }

    fn log(&mut self, at: CallTime, event: LogEvent) {
        let kind = event.kind();
        let is_frames = matches!(event, LogEvent::In(Input::Frames(_)));
        let entry = LogEntry {
            seq: self.seq,
            at,
            event,
        };
        self.seq += 1;
        let body = match serde_json::to_string(&entry) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, kind, "an entry of the event log cannot be written");
                return;
            }
        };
        let call_id = self.leg.info.call_id;
        let row = EventRow {
            seq: entry.seq,
            at,
            kind: kind.to_owned(),
            body,
        };
        self.parts.journal.event(call_id, row);
        if !is_frames {
            let live = LiveEntry {
                call_id,
                kind: kind.to_owned(),
                entry,
            };
            let _ = self.parts.live.send(Arc::new(live));
        }
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A shutdown signal that does not come again.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

/// The wall clock, for what is stored; decisions use the call's own clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
