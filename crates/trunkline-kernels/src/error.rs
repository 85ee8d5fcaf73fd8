//! What can go wrong on the way to a card.

/// Why a kernel did not run. Where an operator can mend it, the message says how.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// There is no driver on this machine.
    #[error(
        "there is no NVIDIA driver on this machine ({reason}); install one of version {needed} or later, or run the engine without a card"
    )]
    NoDriver {
        /// What the loader said.
        reason: String,
        /// The oldest driver that runs this build.
        needed: &'static str,
    },
    /// The driver is too old for this build.
    #[error(
        "the NVIDIA driver runs CUDA {has}, this program needs CUDA {built}: install a driver of version {needed} or later"
    )]
    OldDriver {
        /// The version of CUDA that it runs, as in 12.4.
        has: String,
        /// The major version that this build is for.
        built: &'static str,
        /// The oldest driver that runs this build.
        needed: &'static str,
    },
    /// A library of CUDA that the engine calls is not there.
    #[error(
        "{library} cannot be loaded ({reason}); it comes with the CUDA {version} runtime: put its folder into LD_LIBRARY_PATH, or beside the program in a folder named cuda"
    )]
    NoLibrary {
        /// The file's name.
        library: String,
        /// What the loader said.
        reason: String,
        /// The major version of CUDA that this build is for.
        version: &'static str,
    },
    /// The driver is there but finds no card, or may not use one.
    #[error("the NVIDIA driver offers no card: {reason}; see what nvidia-smi says")]
    NoCard {
        /// What the driver said.
        reason: String,
    },
    /// No card has this number or name.
    #[error("there is no card {wanted}; there are: {found}")]
    UnknownCard {
        /// As asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The card's machine code is not in this build.
    #[error(
        "{card} has compute capability {has}, this program is built for {built}; build or install the one for it: cargo xtask cuda --compute-cap {has}"
    )]
    WrongCapability {
        /// The card's name.
        card: String,
        /// Its capability, as in 90.
        has: u32,
        /// The build's.
        built: u32,
    },
    /// Less memory is free on the card than asked for.
    #[error("{card} has {free_mib} MiB free, {wanted_mib} MiB are asked for")]
    TooLittleMemory {
        /// The card's name.
        card: String,
        /// Free memory.
        free_mib: usize,
        /// What was asked for.
        wanted_mib: usize,
    },
    /// The kernels are not built for this shape.
    #[error("no kernel for {what} of {number}")]
    UnsupportedShape {
        /// Which measure.
        what: &'static str,
        /// Its value.
        number: usize,
    },
    /// The machine that runs kernels failed.
    #[error("kernel {kernel}: {reason}")]
    Launch {
        /// Which one.
        kernel: String,
        /// What the machine said.
        reason: String,
    },
}
