/* The SQLite VFS over fault_disk: what lies below the root is ours, all else is the default's. */
#include "fault_disk.h"
#include "sqlite_abi.h"

#include <string.h>

typedef struct handle {
    sqlite3_file base;
    disk *owner;
    node *file;
    shm *memory;
    int generation;
    int level;
    int delete_on_close;
    int slots_shared, slots_exclusive;
} handle;

static sqlite3_vfs *fallback;
static uint64_t random_state;

static int dead(const handle *h) { return h->owner->died || h->generation != h->owner->generation; }

/* Counts a change of the disk; whether it fails, and how. */
static int fails(disk *owner, int code) {
    owner->calls++;
    if (owner->dies_at && owner->calls >= owner->dies_at) {
        owner->died = 1;
        owner->dies_at = 0;
        return code;
    }
    if (owner->fails_at && owner->calls >= owner->fails_at) {
        owner->fails_at = 0;
        return code;
    }
    return SQLITE_OK;
}

static int vfs_write(sqlite3_file *base, const void *data, int count, sqlite3_int64 offset) {
    handle *h = (handle *)base;
    node *file = h->file;
    if (dead(h)) return SQLITE_IOERR_WRITE;
    int code = fails(h->owner, SQLITE_IOERR_WRITE);
    if (code) {
        int torn = h->owner->died && h->owner->tears ? count / 2 / SECTOR * SECTOR : 0;
        if (torn && image_write(&file->now, data, torn, offset)) node_log(file, offset, data, torn);
        return code;
    }
    int64_t grown = offset + count - file->now.size;
    if (grown > 0 && h->owner->left >= 0) {
        if (grown > h->owner->left) return SQLITE_FULL;
        h->owner->left -= grown;
    }
    if (!image_write(&file->now, data, count, offset)) return SQLITE_FULL;
    return node_log(file, offset, data, count) ? SQLITE_OK : SQLITE_NOMEM;
}

static int vfs_read(sqlite3_file *base, void *data, int count, sqlite3_int64 offset) {
    handle *h = (handle *)base;
    if (dead(h)) return SQLITE_IOERR;
    const image *now = &h->file->now;
    if (offset + count <= now->size) {
        memcpy(data, now->data + offset, (size_t)count);
        return SQLITE_OK;
    }
    memset(data, 0, (size_t)count);
    if (offset < now->size) memcpy(data, now->data + offset, (size_t)(now->size - offset));
    return SQLITE_IOERR_SHORT_READ;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size) {
    handle *h = (handle *)base;
    if (dead(h)) return SQLITE_IOERR_TRUNCATE;
    int code = fails(h->owner, SQLITE_IOERR_TRUNCATE);
    if (code) return code;
    if (!image_truncate(&h->file->now, size)) return SQLITE_NOMEM;
    return node_log(h->file, -1 - size, NULL, 0) ? SQLITE_OK : SQLITE_NOMEM;
}

static int vfs_sync(sqlite3_file *base, int flags) {
    handle *h = (handle *)base;
    (void)flags;
    if (dead(h)) return SQLITE_IOERR_FSYNC;
    int code = fails(h->owner, SQLITE_IOERR_FSYNC);
    if (code) return code;
    if (!h->owner->lies) {
        node_synced(h->file);
        disk_names_synced(h->owner);
    }
    return SQLITE_OK;
}

static int vfs_size(sqlite3_file *base, sqlite3_int64 *size) {
    handle *h = (handle *)base;
    if (dead(h)) return SQLITE_IOERR;
    *size = h->file->now.size;
    return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *base, int level) {
    handle *h = (handle *)base;
    node *file = h->file;
    if (dead(h)) return SQLITE_IOERR;
    if (level <= h->level) return SQLITE_OK;
    if (level == SQLITE_LOCK_SHARED) {
        if (file->exclusive || (file->waiting && file->waiting != h)) return SQLITE_BUSY;
        file->shared++;
    } else if (level == SQLITE_LOCK_RESERVED) {
        if (file->reserved && file->reserved != h) return SQLITE_BUSY;
        file->reserved = h;
    } else {
        if (file->reserved && file->reserved != h) return SQLITE_BUSY;
        if (file->waiting && file->waiting != h) return SQLITE_BUSY;
        file->reserved = file->waiting = h;
        if (file->shared > 1) {
            h->level = SQLITE_LOCK_PENDING;
            return SQLITE_BUSY;
        }
        file->exclusive = h;
    }
    h->level = level;
    return SQLITE_OK;
}

static int vfs_unlock(sqlite3_file *base, int level) {
    handle *h = (handle *)base;
    node *file = h->file;
    if (dead(h) || level >= h->level) return SQLITE_OK;
    if (file->exclusive == h) file->exclusive = NULL;
    if (file->waiting == h) file->waiting = NULL;
    if (file->reserved == h) file->reserved = NULL;
    if (level == SQLITE_LOCK_NONE) file->shared--;
    h->level = level;
    return SQLITE_OK;
}

static int vfs_reserved(sqlite3_file *base, int *taken) {
    *taken = ((handle *)base)->file->reserved != NULL;
    return SQLITE_OK;
}

static int vfs_control(sqlite3_file *base, int op, void *arg) {
    (void)base, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int vfs_sector(sqlite3_file *base) {
    (void)base;
    return 4096;
}

static int vfs_device(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int vfs_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **out) {
    handle *h = (handle *)base;
    *out = NULL;
    if (dead(h) || page >= SHM_REGIONS) return SQLITE_IOERR;
    if (!h->memory && !(h->memory = shm_of(h->file))) return SQLITE_NOMEM;
    while (h->memory->count <= page) {
        if (!extend) return SQLITE_OK;
        void *region = __builtin_calloc(1, (size_t)size);
        if (!region) return SQLITE_NOMEM;
        h->memory->regions[h->memory->count++] = region;
    }
    *out = h->memory->regions[page];
    return SQLITE_OK;
}

static int vfs_shm_lock(sqlite3_file *base, int offset, int n, int flags) {
    handle *h = (handle *)base;
    shm *memory = h->memory;
    if (!memory) return dead(h) ? SQLITE_OK : SQLITE_IOERR;
    int mask = ((1 << n) - 1) << offset;
    if (flags & SQLITE_SHM_UNLOCK) {
        for (int i = offset; i < offset + n; i++) {
            if (h->slots_shared & (1 << i)) memory->shared[i]--;
            if (memory->exclusive[i] == h) memory->exclusive[i] = NULL;
        }
        h->slots_shared &= ~mask;
        h->slots_exclusive &= ~mask;
        return SQLITE_OK;
    }
    if (dead(h)) return SQLITE_IOERR;
    for (int i = offset; i < offset + n; i++) {
        if (memory->exclusive[i] && memory->exclusive[i] != h) return SQLITE_BUSY;
        int others = memory->shared[i] - !!(h->slots_shared & (1 << i));
        if ((flags & SQLITE_SHM_EXCLUSIVE) && others) return SQLITE_BUSY;
    }
    for (int i = offset; i < offset + n; i++) {
        if (flags & SQLITE_SHM_EXCLUSIVE) {
            memory->exclusive[i] = h;
            h->slots_exclusive |= 1 << i;
        } else if (!(h->slots_shared & (1 << i))) {
            memory->shared[i]++;
            h->slots_shared |= 1 << i;
        }
    }
    return SQLITE_OK;
}

static void vfs_shm_barrier(sqlite3_file *base) {
    (void)base;
    __sync_synchronize();
}

static int vfs_shm_unmap(sqlite3_file *base, int delete) {
    handle *h = (handle *)base;
    (void)delete;
    if (!h->memory) return SQLITE_OK;
    vfs_shm_lock(base, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    if (h->file->memory == h->memory && h->memory->users == 1) h->file->memory = NULL;
    shm_left(h->memory);
    h->memory = NULL;
    return SQLITE_OK;
}

static int vfs_close(sqlite3_file *base) {
    handle *h = (handle *)base;
    vfs_shm_unmap(base, 0);
    if (!dead(h)) {
        vfs_unlock(base, SQLITE_LOCK_NONE);
        if (h->delete_on_close) h->file->exists = 0;
    }
    h->base.pMethods = NULL;
    disk_left(h->owner);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    2,           vfs_close,    vfs_read,    vfs_write,    vfs_truncate,    vfs_sync,
    vfs_size,    vfs_lock,     vfs_unlock,  vfs_reserved, vfs_control,     vfs_sector,
    vfs_device,  vfs_shm_map,  vfs_shm_lock, vfs_shm_barrier, vfs_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
    const char *name = NULL;
    disk *owner = disk_of(path, &name);
    (void)vfs;
    if (!owner) return fallback->xOpen(fallback, path, base, flags, out);
    handle *h = (handle *)base;
    memset(h, 0, sizeof *h);
    if (owner->died || owner->down) return SQLITE_CANTOPEN;
    node *file = disk_find(owner, name);
    if ((!file || !file->exists) && !(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
    file = disk_make(owner, name);
    if (!file) return SQLITE_CANTOPEN;
    if (!file->exists) {
        file->exists = 1;
        file->now.size = 0;
    }
    owner->handles++;
    h->owner = owner;
    h->file = file;
    h->generation = owner->generation;
    h->delete_on_close = !!(flags & SQLITE_OPEN_DELETEONCLOSE);
    h->base.pMethods = &methods;
    if (out) *out = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    const char *name = NULL;
    disk *owner = disk_of(path, &name);
    (void)vfs;
    if (!owner) return fallback->xDelete(fallback, path, sync);
    if (owner->died || owner->down) return SQLITE_IOERR_DELETE;
    int code = fails(owner, SQLITE_IOERR_DELETE);
    node *file = disk_find(owner, name);
    if (code || !file) return code;
    file->exists = 0;
    image_truncate(&file->now, 0);
    if (!node_log(file, -1, NULL, 0)) return SQLITE_NOMEM;
    if (sync && !owner->lies) disk_names_synced(owner);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *found) {
    const char *name = NULL;
    disk *owner = disk_of(path, &name);
    (void)vfs;
    if (!owner) return fallback->xAccess(fallback, path, flags, found);
    node *file = disk_find(owner, name);
    *found = file && file->exists && (flags || file->now.size > 0);
    return SQLITE_OK;
}

static int vfs_full(sqlite3_vfs *vfs, const char *path, int room, char *out) {
    const char *name = NULL;
    (void)vfs;
    if (!disk_of(path, &name)) return fallback->xFullPathname(fallback, path, room, out);
    if (strlen(path) >= (size_t)room) return SQLITE_CANTOPEN;
    strcpy(out, path);
    return SQLITE_OK;
}

static void *vfs_dl_open(sqlite3_vfs *vfs, const char *path) {
    (void)vfs;
    return fallback->xDlOpen(fallback, path);
}

static void vfs_dl_error(sqlite3_vfs *vfs, int room, char *out) {
    (void)vfs;
    fallback->xDlError(fallback, room, out);
}

static void (*vfs_dl_sym(sqlite3_vfs *vfs, void *library, const char *name))(void) {
    (void)vfs;
    return fallback->xDlSym(fallback, library, name);
}

static void vfs_dl_close(sqlite3_vfs *vfs, void *library) {
    (void)vfs;
    fallback->xDlClose(fallback, library);
}

/* The same bytes in every run: SQLite salts its write-ahead log with them. */
static int vfs_random(sqlite3_vfs *vfs, int count, char *out) {
    (void)vfs;
    for (int i = 0; i < count; i++) {
        random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
        out[i] = (char)(random_state >> 56);
    }
    return count;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
    (void)vfs;
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, double *day) {
    (void)vfs;
    *day = 2461000.5;
    return SQLITE_OK;
}

static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *ms) {
    (void)vfs;
    *ms = (sqlite3_int64)(2461000.5 * 86400000.0);
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int room, char *out) {
    (void)vfs, (void)room, (void)out;
    return 0;
}

static sqlite3_vfs fault_vfs = {
    2,          0,           512,         NULL,         "flopgate-fault", NULL,
    vfs_open,   vfs_delete,  vfs_access,  vfs_full,     vfs_dl_open,      vfs_dl_error,
    vfs_dl_sym, vfs_dl_close, vfs_random, vfs_sleep,    vfs_time,         vfs_error,
    vfs_time64,
};

/* Given SQLite's own functions: become the default VFS, in front of the one that was. */
int flopgate_vfs_install(sqlite3_vfs *(*find)(const char *), int (*add)(sqlite3_vfs *, int)) {
    if (!fallback) fallback = find(NULL);
    if (!fallback) return SQLITE_CANTOPEN;
    int size = (int)sizeof(handle);
    fault_vfs.szOsFile = fallback->szOsFile > size ? fallback->szOsFile : size;
    random_state = 1;
    return add(&fault_vfs, 1);
}

int flopgate_vfs_remove(int (*add)(sqlite3_vfs *, int), int (*drop)(sqlite3_vfs *)) {
    drop(&fault_vfs);
    return add(fallback, 1);
}
