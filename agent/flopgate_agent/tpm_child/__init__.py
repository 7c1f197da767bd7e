"""The process that owns the TPM: the only code that loads ``tpm2_pytss`` (the extra ``tpm``)."""
