//! Processes under measurement: elapsed time, CPU seconds, resident memory as it goes.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tidelog::runtime::Stopwatch;

/// Ticks a second in /proc/PID/stat: USER_HZ, which Linux has had at 100 on every architecture
/// that tidelog runs on.
const TICKS: f64 = 100.0;
/// Between two looks at the memory of a process. The peak that is reported is the kernel's own
/// high-water mark, which misses at most what the process does after the last look.
const LOOK: Duration = Duration::from_millis(5);

/// What a process has used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) took: Duration,
    /// Greatest resident set.
    pub(crate) peak_mib: f64,
    /// User and system time, its children's included.
    pub(crate) cpu_seconds: f64,
    /// Largest resident set within each second.
    pub(crate) trace_mib: Vec<u64>,
}

impl Usage {
    /// Two processes that ran at the same time, as one.
    pub(crate) fn beside(self, other: &Usage) -> Usage {
        Usage {
            took: self.took.max(other.took),
            peak_mib: self.peak_mib + other.peak_mib,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            trace_mib: self.trace_mib,
        }
    }

    /// The shorter one of two turns, with the greater peak: one look of half a second says little.
    pub(crate) fn or_shorter(self, before: Option<Usage>) -> Usage {
        let peak_mib = before.as_ref().map_or(0.0, |before| before.peak_mib);
        let peak_mib = peak_mib.max(self.peak_mib);
        let before = before.filter(|before| before.took < self.took);
        Usage {
            peak_mib,
            ..before.unwrap_or(self)
        }
    }

    /// The largest resident set over time, at most forty marks; a full one is the budget.
    pub(crate) fn memory_over_time(&self, budget_mib: f64) -> String {
        const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let size = self.trace_mib.len().div_ceil(40).max(1);
        let parts = self.trace_mib.chunks(size);
        let peaks = parts.map(|part| part.iter().max().copied().unwrap_or(0) as f64);
        let mark = |mib: f64| MARKS[((mib / budget_mib * 8.0) as usize).min(7)];
        let marks: String = peaks.map(mark).collect();
        format!("{marks} ({size} s a mark, █ is {budget_mib} MiB)")
    }
}

/// A running process that is looked at; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Option<Child>,
    watch: Stopwatch,
    stop: Arc<AtomicBool>,
    memory: Option<JoinHandle<(f64, Vec<u64>)>>,
    name: String,
}

impl Watched {
    /// Starts a command; what it writes to stdout and stderr is the caller's choice.
    pub(crate) fn start(mut command: Command) -> Watched {
        let name = shown(&command);
        let watch = Stopwatch::start();
        let child = command.spawn();
        let child = child.unwrap_or_else(|e| panic!("{e}: start {name}"));
        let stop = Arc::new(AtomicBool::new(false));
        let (pid, stopped) = (child.id(), Arc::clone(&stop));
        let memory = std::thread::spawn(move || look_at_memory(pid, watch, &stopped));
        Watched {
            child: Some(child),
            watch,
            stop,
            memory: Some(memory),
            name,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Stdout, where it is a pipe.
    pub(crate) fn take_stdout(&mut self) -> std::process::ChildStdout {
        let child = self.child.as_mut().expect("it runs");
        child.stdout.take().expect("stdout is a pipe")
    }

    /// CPU seconds so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.pid())
    }

    /// Greatest resident set so far.
    pub(crate) fn peak_mib(&self) -> f64 {
        memory_mib(self.pid(), "VmHWM:")
    }

    /// What it has used so far.
    pub(crate) fn so_far(&self) -> Usage {
        Usage {
            took: self.watch.elapsed(),
            peak_mib: self.peak_mib(),
            cpu_seconds: self.cpu_seconds(),
            trace_mib: Vec::new(),
        }
    }

    /// Fails when the process has ended.
    pub(crate) fn must_run(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        if let Some(status) = child.try_wait().expect("wait for a process") {
            panic!("{} ended with {status}", self.name);
        }
    }

    /// SIGTERM, and what it used until its end, which must be good.
    pub(crate) fn terminate(self) -> Usage {
        crate::support::signal(self.pid(), "-TERM");
        self.success()
    }

    /// Waits for its end, which must be good.
    pub(crate) fn success(mut self) -> Usage {
        let mut child = self.child.take().expect("it runs");
        let pid = child.id();
        let id = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        // The dead process stays until it is reaped: only then its times are whole.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(id), ended).expect("wait for a process");
        let took = self.watch.elapsed();
        let cpu_seconds = cpu_seconds(pid);
        self.stop.store(true, Ordering::SeqCst);
        let memory = self.memory.take().expect("once").join();
        let (peak_mib, trace_mib) = memory.expect("memory is read");
        let status = child.wait().expect("reap a process");
        assert!(status.success(), "{} ended with {status}", self.name);
        Usage {
            took,
            peak_mib,
            cpu_seconds,
            trace_mib,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end, which must be good.
pub(crate) fn measure(command: Command) -> Usage {
    Watched::start(command).success()
}

/// A `tidelog` command with the variables of its store and the passwords of throwaway servers.
pub(crate) fn tidelog(args: &[&str], environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidelog"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// The command as a person would type it: programs without their folders, no passwords, ports or
/// places of this run.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut words = vec![name.into_owned()];
    words.extend(command.get_args().map(|arg| tidied(&arg.to_string_lossy())));
    words.join(" ")
}

fn tidied(argument: &str) -> String {
    if argument.starts_with("mysql://") {
        return "URL".to_owned();
    }
    if argument.starts_with("file://") || argument.starts_with("s3://") {
        return "REPO".to_owned();
    }
    match argument.split_once('=') {
        _ if argument.starts_with('/') => "PATH".to_owned(),
        Some((name, value)) if value.starts_with('/') => format!("{name}=PATH"),
        Some((name @ "--port", _)) => format!("{name}=PORT"),
        _ => argument.to_owned(),
    }
}

fn look_at_memory(pid: u32, watch: Stopwatch, stop: &AtomicBool) -> (f64, Vec<u64>) {
    let (mut peak, mut trace) = (0.0_f64, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        peak = peak.max(memory_mib(pid, "VmHWM:"));
        let second = usize::try_from(watch.elapsed().as_secs()).expect("seconds");
        let resident = memory_mib(pid, "VmRSS:") as u64;
        trace.resize(second.max(trace.len().saturating_sub(1)) + 1, 0);
        trace[second] = trace[second].max(resident);
        std::thread::sleep(LOOK);
    }
    (peak, trace)
}

fn memory_mib(pid: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// CPU seconds of the benchmark itself so far.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_seconds(std::process::id())
}

/// User and system time of a process and of its reaped children.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything.
    let numbers = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = numbers.split(' ').skip(11).take(4);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / TICKS
}
