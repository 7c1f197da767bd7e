"""tmp"""
from __future__ import annotations
import pathlib, shutil
class Disk:
    def __init__(self, root: pathlib.Path):
        self.root=root; root.mkdir(parents=True, exist_ok=True); self.died=False
    def path(self, n): return self.root/n
    def crash(self): pass
    def revive(self): self.died=False
    def power_loss(self): pass
    def fail_at(self,n): pass
    def fail_once(self,n): pass
    def fill(self,n): pass
    def free(self): pass
    def snapshot(self):
        return {f.name: f.read_bytes() for f in self.root.iterdir()}
    def restore(self,s):
        for f in self.root.iterdir(): f.unlink()
        for n,b in s.items(): (self.root/n).write_bytes(b)
    def unsynced_bytes(self, n): return 0

class DiskLayer:
    def __init__(self, root): self.root=pathlib.Path(root)
    def disk(self, n): return Disk(self.root/n)
