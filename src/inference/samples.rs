//! A small model of random weights, so that tests need no download.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, process};

use safetensors::tensor::{Dtype, TensorView};

use super::DIMENSIONS;

/// Vocabulary size of the small model.
pub(super) const VOCABULARY: usize = 40;

const LAYERS: usize = 2;

/// A folder in the system's temporary folder, removed when dropped.
pub(super) struct SampleFolder(PathBuf);

impl SampleFolder {
    /// A folder with the small model.
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringgate-model-{}-{number}", process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).expect("a temporary folder");
        folder.write("config.json", config().to_string().as_bytes());
        folder.write("model.safetensors", &weights());
        folder.write("tokenizer.json", tokenizer().to_string().as_bytes());
        folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join(name), bytes).expect("written");
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).expect("read")
    }
}

impl Drop for SampleFolder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// Its configuration, as JSON.
pub(super) fn config() -> serde_json::Value {
    serde_json::json!({
        "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": null, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": DIMENSIONS, "initializer_range": 0.02,
        "intermediate_size": 4 * DIMENSIONS, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12,
        "num_hidden_layers": LAYERS, "pad_token_id": 0,
        "position_embedding_type": "absolute", "type_vocab_size": 2, "use_cache": true,
        "vocab_size": VOCABULARY,
    })
}

/// Pseudo-random numbers in -1..1, the same in every run.
pub(super) struct SampleRng(u64);

impl SampleRng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> f32 {
        // Knuth's MMIX constants; the high bits are the random ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(super) fn numbers(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| self.next() * size).collect()
    }
}

/// Names and shapes of the tensors.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let wide = 4 * DIMENSIONS;
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![VOCABULARY, DIMENSIONS]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![512, DIMENSIONS]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, DIMENSIONS]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![DIMENSIONS]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![DIMENSIONS]),
    ];
    for layer in 0..LAYERS {
        let mut add = |part: &str, shape: Vec<usize>| {
            shapes.push((format!("encoder.layer.{layer}.{part}.bias"), shape[..1].to_vec()));
            shapes.push((format!("encoder.layer.{layer}.{part}.weight"), shape));
        };
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            add(&format!("attention.{part}"), vec![DIMENSIONS, DIMENSIONS]);
        }
        add("attention.output.LayerNorm", vec![DIMENSIONS]);
        add("intermediate.dense", vec![wide, DIMENSIONS]);
        add("output.dense", vec![DIMENSIONS, wide]);
        add("output.LayerNorm", vec![DIMENSIONS]);
    }
    shapes
}

fn weights() -> Vec<u8> {
    let mut noise = SampleRng::new(1);
    let mut tensors = HashMap::new();
    for (name, shape) in shapes() {
        let mut numbers = noise.numbers(shape.iter().product(), 0.1);
        if name.ends_with("LayerNorm.weight") {
            numbers.iter_mut().for_each(|number| *number += 1.0);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
        tensors.insert(name, (shape, bytes));
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a tensor");
        (name.clone(), view)
    });
    safetensors::serialize(views, None).expect("a safetensors file")
}

/// WordPiece over single letters.
fn tokenizer() -> serde_json::Value {
    let mut vocabulary = serde_json::Map::new();
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let letters = ('a'..='z').map(String::from);
    for word in specials.into_iter().map(str::to_owned).chain(letters) {
        vocabulary.insert(word, vocabulary.len().into());
    }
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": null,
        "model": { "type": "WordPiece", "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary },
    })
}
