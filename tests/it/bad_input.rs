//! Bad input: each case gives one clear message and a non-zero exit, or a refused call; never a
//! panic.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use trunkline_audio::Wav;
use trunkline_tests::{
    Appliance, Finished, RtpEnd, RunningCall, Settings, Sipp, free_udp_port, pause, program, run,
};

/// Runs `trunkline` in a folder with these files.
fn trunkline(files: &[(&str, &str)], args: &[&str]) -> Result<Finished> {
    let folder = tempfile::tempdir()?;
    for (name, content) in files {
        let path = folder.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    // A program that goes on in spite of bad input must fail the test, not hang it.
    let mut command = Command::new("timeout");
    command
        .arg("30")
        .arg(program("trunkline")?)
        .current_dir(folder.path())
        .args(args)
        .env("RUST_BACKTRACE", "0");
    run(&mut command)
}

/// One clear message that names all of `naming`, and a failing exit.
fn refuses(finished: &Finished, naming: &[&str]) -> Result<()> {
    let said = &finished.stderr;
    ensure!(
        finished.code.is_some_and(|code| code != 0),
        "it went on: {finished:?}"
    );
    ensure!(!said.contains("panicked"), "it panicked: {said}");
    for name in naming {
        ensure!(
            said.contains(name),
            "the message does not name {name:?}: {said}"
        );
    }
    Ok(())
}

const INSTANT: &str = "[models]\nstt = \"instant\"\nllm = \"instant\"\ntts = \"instant\"\n";

fn serve(config: &str) -> Result<Finished> {
    trunkline(
        &[("trunkline.toml", config)],
        &["serve", "--config", "trunkline.toml"],
    )
}

#[test]
fn a_typo_in_the_configuration_names_the_nearest_key() -> Result<()> {
    let config = "[sip]\nlisten_udq = [\"127.0.0.1:5060\"]\n";
    let files = [("trunkline.toml", config)];
    let checked = trunkline(&files, &["config", "check", "--config", "trunkline.toml"])?;
    refuses(&checked, &["trunkline.toml", "listen_udq", "listen_udp"])
}

#[test]
fn a_password_in_the_configuration_is_refused_with_what_to_write() -> Result<()> {
    let config =
        "[[trunk]]\nname = \"a\"\n[trunk.inbound_auth]\nusername = \"u\"\npassword = \"x\"\n";
    let files = [("trunkline.toml", config)];
    let checked = trunkline(&files, &["config", "check", "--config", "trunkline.toml"])?;
    refuses(&checked, &["password_file", "password_env"])
}

#[test]
fn a_missing_model_says_which_command_brings_it() -> Result<()> {
    let config = "[node]\nmodels_dir = \"empty\"\n[models]\nstt = \"instant\"\nllm = \"smollm2-135m\"\ntts = \"instant\"\n";
    refuses(
        &serve(config)?,
        &["smollm2-135m", "trunkline models pull smollm2-135m"],
    )
}

#[test]
fn a_corrupt_model_file_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("bundle");
    std::fs::create_dir_all(&bundle)?;
    std::fs::write(bundle.join("model.safetensors"), b"not a model")?;
    let config = "[node]\nmodels_dir = \"models\"\n".to_owned() + INSTANT;
    let files = [("trunkline.toml", config.as_str())];
    let path = bundle.display().to_string();
    let imported = trunkline(&files, &["models", "import", &path])?;
    refuses(&imported, &["bundle"])
}

#[test]
fn a_taken_port_is_named() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let address = format!("127.0.0.1:{}", appliance.sip_port());
    let config = format!(
        "[sip]\nlisten_udp = [\"{address}\"]\n[http]\nlisten = \"127.0.0.1:{}\"\n{INSTANT}",
        free_udp_port()
    );
    refuses(&serve(&config)?, &[&address])
}

#[test]
fn an_operations_address_that_others_can_reach_is_refused() -> Result<()> {
    let config = format!("[http]\nlisten = \"0.0.0.0:8088\"\n{INSTANT}");
    refuses(&serve(&config)?, &["0.0.0.0:8088", "loopback"])
}

#[test]
fn a_dangling_edge_names_its_node() -> Result<()> {
    let workflow = r#"{"schema": "trunkline.workflow/1", "name": "broken",
        "nodes": [{"type": "start", "id": "start", "greeting": "Hello."},
                  {"type": "end", "id": "goodbye", "farewell": "Goodbye."}],
        "edges": [{"from": "start", "to": "godbye"}]}"#;
    let files = [("broken.json", workflow)];
    let checked = trunkline(&files, &["workflow", "check", "broken.json"])?;
    refuses(&checked, &["godbye", "goodbye", "start"])
}

#[test]
fn a_number_routed_to_a_missing_workflow_does_not_start() -> Result<()> {
    let config = format!("{INSTANT}[[number]]\nnumber = \"1\"\nworkflow = \"font-desk\"\n");
    refuses(&serve(&config)?, &["font-desk", "front-desk"])
}

#[test]
fn a_file_that_is_not_toml_says_where() -> Result<()> {
    let files = [("trunkline.toml", "[sip\n")];
    let checked = trunkline(&files, &["config", "check", "--config", "trunkline.toml"])?;
    refuses(&checked, &["trunkline.toml"])
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() -> Result<()> {
    let files = [
        ("trunkline.toml", INSTANT),
        ("var", "a file where a folder is needed"),
    ];
    let served = trunkline(&files, &["serve", "--config", "trunkline.toml"])?;
    refuses(&served, &["var"])
}

/// A small tmpfs stands for a disk that runs full: a call is refused or goes on with its audio,
/// nothing dies, and calls are taken as ever once there is room.
#[test]
fn a_full_disk_ends_nothing_but_a_call() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        // Mounting needs root; the store's own tests cover a full file without it.
        return Ok(());
    };
    let appliance = Appliance::start_with_data(&Settings::default(), &disk.path())?;
    let call = || -> Result<f64> {
        let rtp = RtpEnd::start(1000.0)?;
        Sipp::caller("plain_call.xml", appliance.sip_port())?
            .key("rtp_port", rtp.port())
            .play()?;
        Ok(rtp.finish().loudest_dbfs(440.0))
    };
    disk.fill()?;
    match call() {
        Ok(heard) => ensure!(heard > -30.0, "the agent fell silent: {heard} dBFS"),
        Err(refused) => ensure!(
            refused.to_string().contains("SIP/2.0 500"),
            "neither taken nor refused: {refused}"
        ),
    }
    appliance.get("/metrics")?;
    disk.make_room()?;
    let heard = call()?;
    ensure!(heard > -30.0, "the agent is not heard: {heard} dBFS");
    Ok(())
}

/// The disk runs full while a call goes on: the caller hears nothing of it, what was recorded until
/// then can be played, the fault is counted, and the log is written once there is room again.
#[test]
fn a_disk_that_runs_full_in_a_call_costs_the_rest_of_its_recording() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        return Ok(());
    };
    let appliance = Appliance::start_with_data(&Settings::default(), &disk.path())?;
    let call = RunningCall::place(&appliance, "agent_hangs_up.xml")?;
    pause(Duration::from_millis(1500));
    disk.fill()?;
    pause(Duration::from_millis(2500));
    ensure!(appliance.active_calls()? == 1.0, "the call did not go on");
    disk.make_room()?;
    let heard = call.end()?.loudest_dbfs(440.0);
    ensure!(heard > -30.0, "the agent is not heard: {heard} dBFS");
    let call = appliance.ended_call()?;
    let path = appliance.recording(&call).context("no recording")?;
    let wav = Wav::parse(&std::fs::read(path)?)?;
    let seconds = wav.channel(0).len() as f64 / f64::from(wav.format.sample_rate_hz);
    ensure!(seconds >= 1.0, "only {seconds} s can be played");
    let metrics = appliance.get("/metrics")?;
    ensure!(
        metrics.contains("trunkline_recording_faults_total 1"),
        "the fault is not counted: {metrics}"
    );
    let id = call["id"].as_str().context("no id")?;
    let replayed = appliance.command(&["calls", "replay", id])?;
    ensure!(replayed.code == Some(0), "{replayed:?}");
    Ok(())
}

#[test]
fn an_installed_model_that_was_damaged_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let models = folder.path().join("models");
    let installed = models.join("whisper-starter");
    std::fs::create_dir_all(&installed)?;
    for file in std::fs::read_dir("../models/starter/whisper-starter")? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), installed.join(file.file_name()))?;
        }
    }
    let weights = installed.join("model.safetensors");
    std::fs::write(&weights, &std::fs::read(&weights)?[..100_000])?;
    let config = format!(
        "[node]\nmodels_dir = {models:?}\n\
         [models]\nstt = \"whisper-starter\"\nllm = \"instant\"\ntts = \"instant\"\n"
    );
    refuses(&serve(&config)?, &["model.safetensors"])
}

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder.path())
            .output();
        Ok(mounted
            .is_ok_and(|done| done.status.success())
            .then_some(Self(folder)))
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().to_owned()
    }

    /// Leaves no room at all.
    fn fill(&self) -> Result<()> {
        use std::io::Write;
        let mut file = std::fs::File::create(self.0.path().join("ballast"))?;
        while file.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }
}

impl SmallDisk {
    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.path().join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}
