"""The edge of the world: contracts, validation, quarantine, the lake, exports, and data to try it on."""
