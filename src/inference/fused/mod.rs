//! The preferred embedder: BERT of MiniLM's width with int8 weights, in vector instructions.
//!
//! Linear layers run on int8 with exact sums ([`linear`]); everything else is f32. Weights are
//! rounded and packed when the model is loaded and shared by all embedder threads; each thread has
//! its own working memory. Embedding allocates only the result.
//!
//! The pass is written once for any instruction set ([`simd`]): AVX-512 with VNNI, or AVX2. Other
//! CPUs use the reference embedder. AVX-VNNI machines use the AVX2 path.

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod forward;
mod linear;
mod norm;
mod simd;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
mod widths;

use super::{Checkpoint, Embedder, ModelError};

/// True if this CPU has one of the supported instruction sets.
#[must_use]
pub(super) fn is_available() -> bool {
    !instruction_sets().is_empty()
}

/// Packs the model for the best instruction set of this CPU.
pub(super) fn open(checkpoint: &Checkpoint) -> Result<Box<dyn Embedder>, ModelError> {
    match instruction_sets().first() {
        Some(set) => (set.open)(checkpoint),
        None => Err(ModelError::Cpu),
    }
}

/// Packs a model for an instruction set.
type Open = Box<dyn Fn(&Checkpoint) -> Result<Box<dyn Embedder>, ModelError>>;

/// An instruction set that this CPU has.
struct InstructionSet {
    #[cfg_attr(not(test), allow(dead_code, reason = "tells failing tests apart"))]
    name: &'static str,
    open: Open,
}

/// The instruction sets of this CPU, fastest first.
#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<InstructionSet> {
    let mut sets = Vec::new();
    if let Some(simd) = avx512::Avx512::detect() {
        let open = Box::new(move |checkpoint: &_| forward::open(simd, checkpoint));
        sets.push(InstructionSet { name: "avx512", open });
    }
    if let Some(simd) = avx2::Avx2::detect() {
        let open = Box::new(move |checkpoint: &_| forward::open(simd, checkpoint));
        sets.push(InstructionSet { name: "avx2", open });
    }
    sets
}

/// None: the pass supports only x86-64.
#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<InstructionSet> {
    Vec::new()
}
