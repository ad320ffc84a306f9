"""Files and folders: durable writes, blobs by digest, claims. Any adapter may use it; it uses none."""
