//! The ad-hoc code signature of a Mach-O file: hashes of its pages, and nobody's name.
//!
//! ```text
//!  SuperBlob | index | CodeDirectory: hashes of requirements and pages | Requirements: none | CMS: none
//! ```
//!
//! The system maps nothing executable without one on AArch64. The hashes of pages are looked at
//! as pages are brought in; all numbers are big-endian.

use object::macho;
use object::write::macho::{CodeDirectory, CodeSignatureEncoder};
use sha2::{Digest, Sha256};

/// What the signature calls the file.
const IDENTIFIER: &[u8] = b"precast-object\0";

/// Pages that are hashed, whatever the size of the CPU's: all signers use this.
const PAGE_LOG2: u8 = 12;
const PAGE: u64 = 1 << PAGE_LOG2;

/// Bytes of a SHA-256.
const HASH_SIZE: u8 = 32;

/// Hashes of things other than pages, before those: of an Info.plist (there is none) and of the
/// requirements.
const SPECIAL_SLOTS: u32 = 2;

const VERSION: macho::CsVersion = macho::CS_SUPPORTSEXECSEG;
const ENCODER: CodeSignatureEncoder = CodeSignatureEncoder;

/// Blobs: code directory, requirements, and an empty signature.
const BLOBS: u32 = 3;

/// What the signature says of the file besides its hashes.
pub(super) struct Signed {
    /// Bytes of the segment of code, from the start of the file.
    pub(super) executable: u64,
}

/// Bytes of the signature of a file of `len` bytes.
pub(super) fn signature_size(len: u64) -> u64 {
    u64::from(directory_offset())
        + directory_size(len)
        + u64::from(requirements_size() + cms_size())
}

fn directory_offset() -> u32 {
    ENCODER.super_blob_size() + BLOBS * ENCODER.blob_index_size()
}

fn hash_offset() -> u32 {
    let header = ENCODER.code_directory_size(VERSION) + IDENTIFIER.len() as u32;
    header + SPECIAL_SLOTS * u32::from(HASH_SIZE)
}

fn directory_size(len: u64) -> u64 {
    u64::from(hash_offset()) + len.div_ceil(PAGE) * u64::from(HASH_SIZE)
}

fn requirements_size() -> u32 {
    ENCODER.super_blob_size()
}

fn cms_size() -> u32 {
    ENCODER.generic_blob_size()
}

/// Appends the signature of all that is in `out` already.
pub(super) fn write_signature(out: &mut Vec<u8>, signed: Signed) {
    let len = out.len() as u64;
    let directory_len = directory_size(len) as u32;
    let directory = directory_offset();
    let requirements = directory + directory_len;
    let cms = requirements + requirements_size();
    let mut empty = Vec::new();
    ENCODER.requirements_super_blob(&mut empty, requirements_size(), 0);
    let mut hashes = vec![0; usize::from(HASH_SIZE) * SPECIAL_SLOTS as usize];
    // Slot -2 stands first.
    hashes[..usize::from(HASH_SIZE)].copy_from_slice(&Sha256::digest(&empty));
    for page in out.chunks(PAGE as usize) {
        hashes.extend_from_slice(&Sha256::digest(page));
    }
    ENCODER.signature_super_blob(out, cms + cms_size(), BLOBS);
    ENCODER.blob_index(out, macho::CSSLOT_CODEDIRECTORY, directory);
    ENCODER.blob_index(out, macho::CSSLOT_REQUIREMENTS, requirements);
    ENCODER.blob_index(out, macho::CSSLOT_SIGNATURESLOT, cms);
    let header = CodeDirectory {
        length: directory_len,
        version: VERSION,
        flags: macho::CS_ADHOC,
        hash_offset: hash_offset(),
        ident_offset: ENCODER.code_directory_size(VERSION),
        n_special_slots: SPECIAL_SLOTS,
        n_code_slots: len.div_ceil(PAGE) as u32,
        code_limit: len,
        hash_size: HASH_SIZE,
        hash_type: macho::CS_HASHTYPE_SHA256,
        page_size: PAGE_LOG2,
        exec_seg_limit: signed.executable,
        ..CodeDirectory::default()
    };
    ENCODER.code_directory(out, &header);
    out.extend_from_slice(IDENTIFIER);
    out.extend_from_slice(&hashes);
    out.extend_from_slice(&empty);
    ENCODER.generic_blob(out, macho::CSMAGIC_BLOBWRAPPER, cms_size());
}
