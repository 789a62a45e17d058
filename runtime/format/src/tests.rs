//! The reader against the writer, and against everything that is not a packed file.

use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::checksum::Checksum;

/// A sink that keeps the file in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Sink for Memory {
    type Error = core::convert::Infallible;

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        self.0.resize(self.0.len().max(to), 0);
        self.0[from..to].copy_from_slice(bytes);
        Ok(())
    }
}

const GROUP: u16 = 8;

fn config() -> Config {
    Config {
        vocab_size: 5,
        hidden_size: 6,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 4,
        ffn_size: 10,
        max_positions: 16,
        norm: Norm::RmsNorm,
        norm_eps: 1e-5,
        position: Position::Rotary { dims: 4, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: GROUP.into(),
        ..Config::PLAIN
    }
}

fn meta() -> Meta<'static> {
    Meta {
        config: config(),
        limits: Limits { context: 8, prefill_chunk: 2, prompt_bytes: 32, kv: KvType::Q8, logits_rows: 4 },
        name: "tiny",
        source: "test",
        tool: "sprat-format tests",
        recipe: "",
        bos: Some(1),
        add_bos: true,
        end_tokens: heapless::Vec::from_slice(&[2, 3]).unwrap(),
    }
}

/// The specs of a model with every needed tensor, matrices in q8.
fn specs(config: &Config) -> Vec<TensorSpec> {
    let spec = |role: Role, layer| {
        let (rows, cols) = role.shape(config);
        let element = if role.is_matrix() { Element::Q8 { group: GROUP } } else { Element::F32 };
        TensorSpec { role, layer, element, layout: Layout::Rows, rows, cols }
    };
    let needed =
        |in_layers| Role::ALL.into_iter().filter(move |r| r.in_layers() == in_layers && r.is_needed(config));
    let layers = (0..config.layers as u16).flat_map(|l| needed(true).map(move |role| (role, Some(l))));
    layers.chain(needed(false).map(|role| (role, None))).map(|(role, layer)| spec(role, layer)).collect()
}

/// Values that differ from tensor to tensor.
fn content(spec: &TensorSpec, index: usize) -> (Vec<u8>, Vec<u8>) {
    let fill =
        |bytes: u64, salt: usize| (0..bytes as usize).map(|i| (i * 7 + index * 31 + salt) as u8).collect();
    let Element::Q8 { .. } = spec.element else {
        return (fill(spec.element.value_bytes(spec.rows, spec.cols), 0), vec![]);
    };
    (
        fill(spec.element.value_bytes(spec.rows, spec.cols), 1),
        fill(spec.element.scale_bytes(spec.rows, spec.cols), 2),
    )
}

fn pack(meta: &Meta, specs: &[TensorSpec]) -> Vec<u8> {
    let mut buffer = [0; 512];
    let mut writer =
        Writer::begin(Memory::default(), meta.encode(&mut buffer).unwrap(), b"tokens", b"", specs).unwrap();
    for (index, spec) in specs.iter().enumerate() {
        let (values, scales) = content(spec, index);
        writer.tensor(&values, &scales).unwrap();
    }
    let (sink, length) = writer.finish().unwrap();
    assert_eq!(sink.0.len() as u64, length);
    sink.0
}

fn tiny() -> Vec<u8> {
    pack(&meta(), &specs(&config()))
}

/// Writes the checksums anew after a change, so that the checks behind them are reached.
fn reseal(file: &mut [u8]) {
    let count = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize;
    for entry in 0..count {
        let at = HEADER_BYTES + entry * SECTION_BYTES;
        let field =
            |from: usize| u64::from_le_bytes(file[at + from..at + from + 8].try_into().unwrap()) as usize;
        let (offset, length) = (field(8), field(16));
        if let Some(bytes) = file.get(offset..offset.saturating_add(length)) {
            let checksum = Checksum::of(bytes);
            file[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    let mut digest = Checksum::new();
    digest.update(&file[..28]);
    digest.update(&file[HEADER_BYTES..HEADER_BYTES + count * SECTION_BYTES]);
    file[28..32].copy_from_slice(&digest.value().to_le_bytes());
}

/// Everything that a reader can learn from a file.
fn read_all(bytes: &[u8]) -> Result<impl PartialEq + core::fmt::Debug + use<>, FormatError> {
    let file = PackedFile::parse(bytes)?;
    let tensors: Vec<_> = file
        .tensors()
        .map(|(role, layer, t)| (role, layer, t.rows, t.cols, t.values.to_vec(), t.scales.to_vec()))
        .collect();
    let sections: Vec<_> = file.sections().map(|s| (s.kind, s.offset, s.checksum)).collect();
    Ok((std::format!("{:?}", file.meta()), file.tokenizer_section().to_vec(), tensors, sections))
}

fn offset_of(file: &[u8], wanted: [u8; 4]) -> usize {
    PackedFile::sections_of(file).unwrap().flatten().find(|s| s.kind == wanted).unwrap().offset as usize
}

#[test]
fn what_is_written_is_read() {
    let file = tiny();
    let packed = PackedFile::parse(&file).unwrap();
    assert_eq!(*packed.meta(), meta());
    assert_eq!(packed.tokenizer_section(), b"tokens");
    let specs = specs(&config());
    assert_eq!(packed.tensors().count(), specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let tensor = packed.tensor(spec.role, spec.layer.unwrap_or(0).into()).unwrap();
        let (values, scales) = content(spec, index);
        assert_eq!((tensor.values, tensor.scales), (&values[..], &scales[..]), "{spec:?}");
        assert_eq!((tensor.rows, tensor.cols, tensor.element), (spec.rows, spec.cols, spec.element));
        assert_eq!((tensor.values.as_ptr() as usize - file.as_ptr() as usize) % ALIGNMENT as usize, 0);
    }
    assert_eq!(packed.tensor(Role::Head, 0), None);
    assert_eq!(packed.tensor(Role::Query, 2), None);
}

#[test]
fn bytes_behind_the_file_are_ignored() {
    let mut file = tiny();
    file.extend_from_slice(&[0xff; 100]);
    assert!(PackedFile::parse(&file).is_ok());
}

#[test]
fn every_truncation_is_refused() {
    let file = tiny();
    for length in 0..file.len() {
        let error = read_all(&file[..length]).expect_err("a truncated file must be refused");
        let need = if length < HEADER_BYTES { HEADER_BYTES } else { file.len() } as u64;
        assert_eq!(error, FormatError::TooShort { need, have: length as u64 });
    }
}

#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    let file = tiny();
    let original = read_all(&file).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    for bit in 0..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match read_all(&changed) {
            Ok(content) => {
                assert_eq!(content, original, "bit {bit} changed what is read");
                harmless += 1;
            }
            Err(error) => {
                assert!(error.to_string().len() > 10, "{error:?}");
                refused += 1;
            }
        }
    }
    // Harmless bits are those of the gaps between sections.
    assert!(refused > harmless * 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn fields_behind_valid_checksums_are_checked_and_named() {
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = tiny();
        change(&mut file);
        reseal(&mut file);
        PackedFile::parse(&file).map(|_| ()).unwrap_err().to_string()
    };
    let tens = offset_of(&tiny(), kind::TENSORS);
    type Case<'c> = (&'c dyn Fn(&mut Vec<u8>), &'static str);
    let cases: &[Case] = &[
        (&|f| f[0] = b'x', "not a packed file"),
        (&|f| f[8] = 9, "version 9"),
        (&|f| f[HEADER_BYTES + 8] = 1, "META: offset"),
        (&|f| f[HEADER_BYTES + 19] = 0xff, "META: length"),
        (&|f| f[HEADER_BYTES + 24] = 2, "META: flags"),
        (&|f| f[HEADER_BYTES + 28] = 1, "META: reserved"),
        (&|f| f[HEADER_BYTES] = b'N', "NETA is needed and not known"),
        (
            &|f| {
                f[HEADER_BYTES] = b'N';
                f[HEADER_BYTES + 24] = 0
            },
            "META is missing",
        ),
        (&|f| f[tens] = 15, "tensor 0: role is 15"),
        (&|f| f[tens + 2] = 1, "tensor 0: layer"),
        (&|f| f[tens + TENSOR_BYTES + 4] = 7, "tensor 1: group of the element type"),
        (&|f| f[tens + 4] = 1, "tensor 0: element type is 1"),
        (&|f| f[tens + 5] = 1, "tensor 0: layout is 1"),
        (&|f| f[tens + TENSOR_BYTES + 5] = 3, "tensor 1: layout is 3"),
        (&|f| f[tens + TENSOR_BYTES + 6] = 12, "tensor 1: group is 12, expected 8"),
        (&|f| f[tens + 8] = 3, "tensor 0: rows is 3, expected 1"),
        (&|f| f[tens + 12] = 3, "tensor 0: columns is 3, expected 6"),
        (&|f| f[tens + 16] = 1, "tensor 0: offset of values is 1"),
        (&|f| f[tens + 23] = 0x7f, "tensor 0: offset of values"),
        (&|f| f[tens + 24] = 23, "tensor 0: bytes of values is 23, expected 24"),
        (&|f| f[tens + TENSOR_BYTES + 40] = 1, "tensor 1: bytes of scales is 1"),
    ];
    for (change, expected) in cases {
        let text = error(change);
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
}

#[test]
fn a_tensor_too_few_or_too_many_is_named() {
    let specs = specs(&config());
    let without =
        |role: Role| -> Vec<TensorSpec> { specs.iter().filter(|s| s.role != role).copied().collect() };
    let error = |specs: &[TensorSpec]| PackedFile::parse(&pack(&meta(), specs)).map(|_| ()).unwrap_err();
    assert_eq!(error(&without(Role::Gate)), FormatError::MissingTensor { role: "gate" });
    assert_eq!(error(&without(Role::FinalNorm)), FormatError::MissingTensor { role: "final_norm" });
    let one_layer: Vec<_> = specs.iter().filter(|s| s.layer != Some(1)).copied().collect();
    assert!(matches!(error(&one_layer), FormatError::Tensor { field: "layer", .. }));
    let mut more = specs.clone();
    let (rows, cols) = Role::PositionEmbedding.shape(&config());
    let extra = TensorSpec {
        role: Role::PositionEmbedding,
        layer: None,
        element: Element::F32,
        layout: Layout::Rows,
        rows,
        cols,
    };
    more.push(extra);
    more.sort_by_key(|s| (s.layer.unwrap_or(u16::MAX), s.role));
    assert_eq!(error(&more), FormatError::UnexpectedTensor { role: "position_embedding" });
}

#[test]
fn impossible_configurations_are_named() {
    type Case = (&'static str, fn(&mut Meta));
    let cases: &[Case] = &[
        ("vocab_size is 0", |m| m.config.vocab_size = 0),
        ("heads modulo kv_heads", |m| (m.config.heads, m.config.kv_heads) = (3, 2)),
        ("rotary dims is 6", |m| m.config.position = Position::Rotary { dims: 6, pairing: Pairing::Half }),
        ("norm_eps", |m| m.config.norm_eps = f32::NAN),
        ("group is 260", |m| m.config.group = 260),
        ("embedding_size is 7", |m| m.config.embedding_size = 7),
        ("period of window_layers is 65", |m| m.config.window_layers.period = 65),
        ("attention_softcap (bits)", |m| m.config.attention_softcap = f32::INFINITY),
        ("embedding_scale (bits)", |m| m.config.embedding_scale = -1.0),
        ("rotary_layers without rotary embedding", |m| {
            (m.config.position, m.config.rotary_layers) = (Position::None, Layers::NONE);
        }),
        ("norm_place of a parallel block", |m| {
            (m.config.block, m.config.norm_place) = (Block::Parallel, NormPlace::Sum);
        }),
        ("layers is 5000", |m| m.config.layers = 5000),
        ("bos is 5", |m| m.bos = Some(5)),
        ("add_bos without bos", |m| m.bos = None),
        ("end token is 9", |m| m.end_tokens[0] = 9),
    ];
    for &(expected, change) in cases {
        let mut meta = meta();
        change(&mut meta);
        let text = PackedFile::parse(&pack(&meta, &specs(&config()))).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
}

#[test]
fn metadata_come_back_and_may_be_followed_by_more() {
    let mut buffer = [0; 256];
    let mut meta = meta();
    meta.recipe = "q8, 64";
    meta.config.window_layers = Layers { period: 6, bits: 0b01_1111 };
    meta.config.attention_scale = 0.0625;
    let used = meta.encode(&mut buffer).unwrap().len();
    for end in [used, used + 3] {
        assert_eq!(Meta::decode(&buffer[..end]).as_ref(), Some(&meta));
    }
    assert_eq!(Meta::decode(&buffer[..used - 1]), None);
}

#[test]
fn layers_are_said_by_the_shortest_period() {
    let of = |members: &[bool]| Layers::of(members);
    assert_eq!(of(&[true; 100]), Some(Layers::ALL));
    assert_eq!(of(&[false; 3]), Some(Layers::NONE));
    assert_eq!(of(&[]), Some(Layers::NONE));
    // Gemma 3: five layers with a window, one without.
    let gemma: Vec<bool> = (0..70).map(|layer| (layer + 1) % 6 != 0).collect();
    assert_eq!(of(&gemma), Some(Layers { period: 6, bits: 0b01_1111 }));
    // No period: one bit for each layer, as far as there are bits.
    let late = |count: usize| (0..count).map(|layer| layer + 3 >= count).collect::<Vec<_>>();
    for count in 1..=64 {
        let set = of(&late(count)).unwrap();
        assert!((0..count).all(|layer| set.contains(layer as u32) == (layer + 3 >= count)), "{count}");
    }
    assert_eq!(of(&late(70)), None);
}

#[test]
fn the_tensors_of_a_model_follow_from_its_parts() {
    let needed = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap();
        move |role: Role| role.is_needed(&config)
    };
    let olmo = needed(|c| c.norm_place = NormPlace::Output);
    assert!(
        !olmo(Role::AttentionNorm) && olmo(Role::AttentionOutputNorm) && olmo(Role::FeedForwardOutputNorm)
    );
    let gemma = needed(|c| (c.norm_place, c.qk_norm) = (NormPlace::BeforeAndOutput, QkNorm::SharedByHeads));
    assert!(gemma(Role::FeedForwardNorm) && gemma(Role::FeedForwardOutputNorm) && gemma(Role::KeyNorm));
    let phi = needed(|c| c.block = Block::Parallel);
    assert!(phi(Role::AttentionNorm) && !phi(Role::FeedForwardNorm));
    let opt = needed(|c| (c.embedding_size, c.final_norm) = (3, false));
    assert!(opt(Role::EmbeddingProjection) && opt(Role::HeadProjection) && !opt(Role::FinalNorm));
    let bloom = needed(|c| (c.position, c.embedding_norm) = (Position::Alibi, true));
    assert!(bloom(Role::AlibiSlopes) && bloom(Role::EmbeddingNorm) && !bloom(Role::RotaryFrequencies));

    let mut config = config();
    (config.qk_norm, config.embedding_size) = (QkNorm::SharedByHeads, 3);
    assert_eq!(Role::KeyNorm.shape(&config), (1, 4));
    assert_eq!((Role::Head.shape(&config), Role::HeadProjection.shape(&config)), ((5, 3), (3, 6)));
    config.qk_norm = QkNorm::EachHead;
    assert_eq!((Role::QueryNorm.shape(&config), Role::KeyNorm.shape(&config)), ((1, 8), (1, 4)));
}

#[test]
fn what_plain_models_lack_is_named() {
    assert_eq!(config().uncommon_part(), None);
    type Case = (fn(&mut Config), &'static str);
    let changes: [Case; 11] = [
        (|c| c.norm_place = NormPlace::Output, "a norm on block outputs"),
        (|c| c.norm_place = NormPlace::Sum, "a norm on the residual sum"),
        (|c| c.position = Position::Alibi, "ALiBi"),
        (|c| c.window = 4, "an attention window"),
        (|c| c.qk_norm = QkNorm::Projection, "a norm on queries and keys"),
        (|c| c.block = Block::ParallelTwoNorms, "a parallel block"),
        (|c| c.embedding_scale = 2.0, "an embedding scale"),
        (|c| c.attention_scale = 1.0, "an attention scale"),
        (|c| c.logit_softcap = 30.0, "a soft cap"),
        (|c| c.rotary_layers = Layers { period: 4, bits: 7 }, "layers without rotary embedding"),
        (|c| c.embedding_size = 3, "an embedding projection"),
    ];
    for (change, part) in changes {
        let mut config = config();
        change(&mut config);
        assert_eq!(config.uncommon_part(), Some(part));
    }
}

#[test]
fn a_newer_minor_version_may_add_sections_and_fields() {
    let mut file = tiny();
    let end = file.len();
    // META moves to the end of the file, with bytes behind the known fields.
    let (at, length) =
        (offset_of(&file, kind::META), u64::from_le_bytes(file[48..56].try_into().unwrap()) as usize);
    let mut longer = file[at..at + length].to_vec();
    longer.extend_from_slice(&[1, 2, 3]);
    file[10] = 3;
    file.resize(end.next_multiple_of(64), 0);
    let moved = file.len() as u64;
    file.extend_from_slice(&longer);
    let total = file.len() as u64;
    file[16..24].copy_from_slice(&total.to_le_bytes());
    let entry: Vec<u8> = file[HEADER_BYTES..HEADER_BYTES + SECTION_BYTES].to_vec();
    file.copy_within(HEADER_BYTES + SECTION_BYTES..HEADER_BYTES + 4 * SECTION_BYTES, HEADER_BYTES);
    let last = HEADER_BYTES + 3 * SECTION_BYTES;
    file[last..last + SECTION_BYTES].copy_from_slice(&entry);
    file[last + 8..last + 16].copy_from_slice(&moved.to_le_bytes());
    file[last + 16..last + 24].copy_from_slice(&(longer.len() as u64).to_le_bytes());
    reseal(&mut file);
    assert_eq!(*PackedFile::parse(&file).unwrap().meta(), meta());
}

#[test]
fn the_writer_checks_order_sizes_and_number() {
    let specs = specs(&config());
    let mut swapped = specs.clone();
    swapped.swap(0, 1);
    let begin = |specs| Writer::begin(Memory::default(), b"", b"", b"", specs);
    assert!(matches!(begin(&swapped), Err(WriteError::Order { index: 1 })));
    let mut writer = begin(&specs).ok().unwrap();
    assert_eq!(writer.tensor(&[0; 3], &[]), Err(WriteError::TensorBytes { index: 0, need: 24, have: 3 }));
    let have = writer.finish().err();
    assert_eq!(have, Some(WriteError::TensorCount { need: specs.len(), have: 0 }));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic && bytes.len() >= 12 {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..10].copy_from_slice(&VERSION_MAJOR.to_le_bytes());
        }
        prop_assert!(read_all(&bytes).is_err());
    }

    /// Damage that checksums do not catch, because they were computed after it.
    #[test]
    fn resealed_damage_never_panics(changes in proptest::collection::vec((0usize..1500, any::<u8>()), 1..6)) {
        let mut file = tiny();
        for (at, byte) in changes {
            file[at] = byte;
        }
        // The table says where sections lie, so only a sane count can be resealed.
        if u32::from_le_bytes(file[12..16].try_into().unwrap()) <= MAX_SECTIONS {
            reseal(&mut file);
        }
        let _ = read_all(&file);
    }
}

#[test]
fn a_section_is_put_into_a_file_and_replaced() {
    let file = tiny();
    let with = |file: &[u8], content: &[u8]| {
        let (sink, length) = insert_section(file, kind::PREFIX, content, Memory::default()).unwrap();
        assert_eq!(sink.0.len() as u64, length);
        sink.0
    };
    let longer = with(&file, b"what was read");
    let (before, after) = (PackedFile::parse(&file).unwrap(), PackedFile::parse(&longer).unwrap());
    assert_eq!((before.prefix_section(), after.prefix_section()), (None, Some(&b"what was read"[..])));
    assert_eq!((file[10], longer[10]), (0, 1), "the minor version says what the file has");
    let contents = |file: &PackedFile<'_>| -> Vec<_> {
        let known = file.sections().filter(|section| section.kind != kind::PREFIX);
        known
            .map(|section| (section.kind, section.checksum, section.required, section.bytes.to_vec()))
            .collect()
    };
    assert_eq!(contents(&before), contents(&after));
    assert_eq!(before.tensors().count(), after.tensors().count());
    // Another text takes the place of the first; what lies behind the file is not copied.
    let again = with(&[&longer[..], &[7; 99]].concat(), b"more was read");
    assert_eq!(PackedFile::parse(&again).unwrap().prefix_section(), Some(&b"more was read"[..]));
    assert_eq!(again.len(), longer.len());
    let refused = insert_section(&file[..40], kind::PREFIX, b"", Memory::default()).err().unwrap();
    assert!(refused.to_string().contains("cut short"), "{refused}");
    let mut full = file;
    for number in 5..MAX_SECTIONS {
        let kind = *format!("X{number:03}").as_bytes().first_chunk().unwrap();
        full = insert_section(&full, kind, b"x", Memory::default()).unwrap().0.0;
    }
    // Four sections of the model, and all others.
    full = with(&full, b"last");
    assert_eq!(PackedFile::parse(&full).unwrap().sections().count(), MAX_SECTIONS as usize);
    let refused = insert_section(&full, *b"MORE", b"", Memory::default()).err();
    assert_eq!(refused, Some(InsertError::Full));
}
