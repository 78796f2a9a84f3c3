//! The forward pass: token ids in, one vector of length 1 out.

use std::sync::Arc;

use super::attention::{Attend, AttentionWorkspace};
use super::linear::{Activation, Activations, Linear, PackedLinear, Quantize};
use super::norm::{AddAndNormalize, LayerNorm};
use super::simd::Simd;
use super::widths::{FEED_FORWARD, HIDDEN};
use crate::inference::{
    Checkpoint, EmbedError, Embedder, Embedding, ModelError, TOKENS_MAX, TokenIds, check_tokens,
};

/// Loads and packs a model for an instruction set.
pub(super) fn open<S: Simd>(
    simd: S,
    checkpoint: &Checkpoint,
) -> Result<Box<dyn Embedder>, ModelError> {
    let weights = Arc::new(Weights::load::<S>(checkpoint)?);
    Ok(Box::new(Fused { simd, weights, workspace: Workspace::new::<S>() }))
}

/// Shared by all threads.
#[derive(Debug)]
struct Weights {
    /// `vocabulary × HIDDEN`.
    words: Vec<f32>,
    /// `TOKENS_MAX × HIDDEN`: position plus the embedding of token type 0, the only one.
    positions: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value as one layer: `HIDDEN` to `3 × HIDDEN`.
    qkv: PackedLinear,
    attention_output: PackedLinear,
    attention_norm: LayerNorm,
    widen: PackedLinear,
    narrow: PackedLinear,
    output_norm: LayerNorm,
}

impl Weights {
    fn load<S: Simd>(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let mut positions = checkpoint.matrix(
            "embeddings.position_embeddings.weight",
            [config.max_position_embeddings, HIDDEN],
        )?;
        positions.truncate(TOKENS_MAX * HIDDEN);
        let types = checkpoint
            .matrix("embeddings.token_type_embeddings.weight", [config.type_vocab_size, HIDDEN])?;
        for row in positions.chunks_exact_mut(HIDDEN) {
            row.iter_mut().zip(&types).for_each(|(place, of_type)| *place += of_type);
        }
        let words =
            checkpoint.matrix("embeddings.word_embeddings.weight", [config.vocab_size, HIDDEN])?;
        let norm = load_norm(checkpoint, "embeddings.LayerNorm")?;
        let layers = (0..config.num_hidden_layers).map(|index| Layer::load::<S>(checkpoint, index));
        Ok(Self { words, positions, norm, layers: layers.collect::<Result<_, _>>()? })
    }
}

impl Layer {
    fn load<S: Simd>(checkpoint: &Checkpoint, index: usize) -> Result<Self, ModelError> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let linear = |part: &str, shape| load_linear::<S>(checkpoint, &[name(part)], shape);
        let qkv = ["query", "key", "value"].map(|it| name(&format!("attention.self.{it}")));
        Ok(Self {
            qkv: load_linear::<S>(checkpoint, &qkv, [HIDDEN, HIDDEN])?,
            attention_output: linear("attention.output.dense", [HIDDEN, HIDDEN])?,
            attention_norm: load_norm(checkpoint, &name("attention.output.LayerNorm"))?,
            widen: linear("intermediate.dense", [FEED_FORWARD, HIDDEN])?,
            narrow: linear("output.dense", [HIDDEN, FEED_FORWARD])?,
            output_norm: load_norm(checkpoint, &name("output.LayerNorm"))?,
        })
    }
}

/// Loads layers of one shape, `[outputs, inputs]`, stacked as a single layer.
fn load_linear<S: Simd>(
    checkpoint: &Checkpoint,
    names: &[String],
    [outputs, inputs]: [usize; 2],
) -> Result<PackedLinear, ModelError> {
    let mut weights = Vec::with_capacity(names.len() * outputs * inputs);
    let mut bias = Vec::with_capacity(names.len() * outputs);
    for name in names {
        weights.extend(checkpoint.matrix(&format!("{name}.weight"), [outputs, inputs])?);
        bias.extend(checkpoint.vector(&format!("{name}.bias"), outputs)?);
    }
    Ok(PackedLinear::pack::<S>(&weights, bias))
}

fn load_norm(checkpoint: &Checkpoint, name: &str) -> Result<LayerNorm, ModelError> {
    let weight = checkpoint.vector(&format!("{name}.weight"), HIDDEN)?;
    let bias = checkpoint.vector(&format!("{name}.bias"), HIDDEN)?;
    Ok(LayerNorm { weight, bias })
}

/// Working memory for one sequence, reused; owned by a thread (3.5 MB).
#[derive(Debug)]
struct Workspace {
    /// The hidden state of each token, `tokens × HIDDEN`.
    states: Vec<f32>,
    /// The addend of the residual connection, `tokens × HIDDEN`.
    change: Vec<f32>,
    /// `tokens × 3 HIDDEN`.
    qkv: Vec<f32>,
    /// `tokens × FEED_FORWARD`.
    wide: Vec<f32>,
    int8: Activations,
    attention: AttentionWorkspace,
}

impl Workspace {
    fn new<S: Simd>() -> Self {
        Self {
            states: vec![0.0; TOKENS_MAX * HIDDEN],
            change: vec![0.0; TOKENS_MAX * HIDDEN],
            qkv: vec![0.0; TOKENS_MAX * 3 * HIDDEN],
            wide: vec![0.0; TOKENS_MAX * FEED_FORWARD],
            int8: Activations::with_room(TOKENS_MAX, FEED_FORWARD),
            attention: AttentionWorkspace::for_tokens::<S>(TOKENS_MAX),
        }
    }
}

/// One thread's embedder.
struct Fused<S> {
    simd: S,
    weights: Arc<Weights>,
    workspace: Workspace,
}

impl<S: Simd> Embedder for Fused<S> {
    fn version(&self) -> &'static str {
        "fused-2"
    }

    fn batch_max(&self) -> usize {
        // A single prompt keeps the multipliers busy (8 tokens: 79 % of their peak), so a batch
        // would only delay its first result.
        1
    }

    fn embed(&mut self, sequences: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError> {
        sequences.iter().map(|ids| self.embed_one(ids)).collect()
    }

    fn share(&self) -> Box<dyn Embedder> {
        let weights = Arc::clone(&self.weights);
        Box::new(Self { simd: self.simd, weights, workspace: Workspace::new::<S>() })
    }
}

impl<S: Simd> Fused<S> {
    fn embed_one(&mut self, ids: &TokenIds) -> Result<Embedding, EmbedError> {
        let weights = Arc::clone(&self.weights);
        check_tokens(ids, weights.words.len() / HIDDEN)?;
        self.look_up(&weights, ids);
        let tokens = ids.len();
        for layer in &weights.layers {
            self.attend(layer, tokens);
            self.feed_forward(layer, tokens);
        }
        Ok(Embedding::mean_of(front(&self.workspace.states, tokens * HIDDEN)))
    }

    /// Ids to states: word plus position embeddings, normalized.
    fn look_up(&mut self, weights: &Weights, ids: &TokenIds) {
        for (state, id) in self.workspace.states.chunks_exact_mut(HIDDEN).zip(ids.iter()) {
            let mut words = weights.words.chunks_exact(HIDDEN);
            if let Some(word) = words.nth(*id as usize) {
                state.copy_from_slice(word);
            }
        }
        let width = ids.len() * HIDDEN;
        self.simd.launch(AddAndNormalize {
            rows: front_mut(&mut self.workspace.states, width),
            added: front(&weights.positions, width),
            norm: &weights.norm,
        });
    }

    /// The first half of a layer: self-attention.
    fn attend(&mut self, layer: &Layer, tokens: usize) {
        let Self { simd, workspace, .. } = self;
        let states = front_mut(&mut workspace.states, tokens * HIDDEN);
        let change = front_mut(&mut workspace.change, tokens * HIDDEN);
        let qkv = front_mut(&mut workspace.qkv, tokens * 3 * HIDDEN);
        simd.launch(Quantize { inputs: HIDDEN, rows: states, into: &mut workspace.int8 });
        simd.launch(Linear {
            layer: &layer.qkv,
            input: &workspace.int8,
            activation: Activation::Identity,
            output: qkv,
        });
        simd.launch(Attend { qkv, workspace: &mut workspace.attention, output: change });
        simd.launch(Quantize { inputs: HIDDEN, rows: change, into: &mut workspace.int8 });
        simd.launch(Linear {
            layer: &layer.attention_output,
            input: &workspace.int8,
            activation: Activation::Identity,
            output: change,
        });
        simd.launch(AddAndNormalize { rows: states, added: change, norm: &layer.attention_norm });
    }

    /// The second half of a layer: feed-forward, each token alone.
    fn feed_forward(&mut self, layer: &Layer, tokens: usize) {
        let Self { simd, workspace, .. } = self;
        let states = front_mut(&mut workspace.states, tokens * HIDDEN);
        let change = front_mut(&mut workspace.change, tokens * HIDDEN);
        let wide = front_mut(&mut workspace.wide, tokens * FEED_FORWARD);
        simd.launch(Quantize { inputs: HIDDEN, rows: states, into: &mut workspace.int8 });
        simd.launch(Linear {
            layer: &layer.widen,
            input: &workspace.int8,
            activation: Activation::Gelu,
            output: wide,
        });
        simd.launch(Quantize { inputs: FEED_FORWARD, rows: wide, into: &mut workspace.int8 });
        simd.launch(Linear {
            layer: &layer.narrow,
            input: &workspace.int8,
            activation: Activation::Identity,
            output: change,
        });
        simd.launch(AddAndNormalize { rows: states, added: change, norm: &layer.output_norm });
    }
}

fn front(workspace: &[f32], length: usize) -> &[f32] {
    workspace.get(..length).expect("room for TOKENS_MAX, and check_tokens held the ids to it")
}

fn front_mut(workspace: &mut [f32], length: usize) -> &mut [f32] {
    workspace.get_mut(..length).expect("room for TOKENS_MAX, and check_tokens held the ids to it")
}
