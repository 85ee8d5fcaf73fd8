//! One run of a kernel, and the machine it runs on.

use half::bf16;

use crate::KernelError;

/// What kind of numbers a kernel computes with. Sums are always of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// 32-bit floats.
    F32,
    /// The upper half of them.
    BF16,
}

impl Number {
    /// As kernels are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::BF16 => "bf16",
        }
    }

    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::BF16 => 2,
        }
    }

    /// The nearest number of this kind.
    pub fn round(self, x: f64) -> f64 {
        match self {
            Self::F32 => f64::from(x as f32),
            Self::BF16 => bf16::from_f64(x).to_f64(),
        }
    }

    /// As they lie in memory.
    pub fn encode(self, numbers: &[f64]) -> Vec<u8> {
        match self {
            Self::F32 => numbers
                .iter()
                .flat_map(|x| (*x as f32).to_le_bytes())
                .collect(),
            Self::BF16 => numbers
                .iter()
                .flat_map(|x| bf16::from_f64(*x).to_le_bytes())
                .collect(),
        }
    }

    /// What lies in memory.
    pub fn decode(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::F32 => {
                let (numbers, _) = bytes.as_chunks::<4>();
                numbers
                    .iter()
                    .map(|x| f64::from(f32::from_le_bytes(*x)))
                    .collect()
            }
            Self::BF16 => {
                let (numbers, _) = bytes.as_chunks::<2>();
                numbers
                    .iter()
                    .map(|x| bf16::from_le_bytes(*x).to_f64())
                    .collect()
            }
        }
    }
}

/// Which kernel, and how many threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The file of `kernels/` that it is in, without its ending.
    pub module: &'static str,
    /// Its name there.
    pub kernel: String,
    /// Blocks in each direction.
    pub grid: [u32; 3],
    /// Threads of a block, whole warps.
    pub threads: u32,
    /// What a block shares.
    pub shared_bytes: u32,
}

/// One argument, in the order that the kernel has them.
#[derive(Debug)]
pub enum Argument<'a, B> {
    /// An `unsigned`.
    Number(u32),
    /// A `float`.
    Float(f32),
    /// A pointer to a buffer.
    Buffer(&'a B),
    /// A null pointer.
    Nothing,
}

/// Something that runs kernels.
pub trait Machine {
    /// Memory of the machine.
    type Buffer;

    /// Memory with these bytes.
    ///
    /// # Errors
    /// [`KernelError::Launch`].
    fn upload(&mut self, bytes: &[u8]) -> Result<Self::Buffer, KernelError>;

    /// Runs a kernel to its end.
    ///
    /// # Errors
    /// [`KernelError::Launch`], also when the kernel touched what is not its own.
    fn run(
        &mut self,
        launch: &Launch,
        arguments: &[Argument<'_, Self::Buffer>],
    ) -> Result<(), KernelError>;

    /// What is in memory now.
    ///
    /// # Errors
    /// [`KernelError::Launch`].
    fn download(&mut self, buffer: &Self::Buffer) -> Result<Vec<u8>, KernelError>;
}
