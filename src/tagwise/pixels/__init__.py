"""Pictures in: decoded, packed, augmented, batched."""
