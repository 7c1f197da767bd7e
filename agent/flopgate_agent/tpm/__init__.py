"""The gate's side of a TPM 2.0: a child that owns the TPM, and what the gate does with it.

The gate never loads the TSS: `tpm_child` does, in a process that can be killed.
"""
