/* Images, what is pending between them, and the faults; see fault_disk.h. */
#include "fault_disk.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

static disk *buckets[BUCKETS];
static char *root;
static size_t root_length;

static uint32_t hash_of(const char *text, size_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return hash % BUCKETS;
}

static disk *lookup(const char *prefix, size_t length) {
    for (disk *one = buckets[hash_of(prefix, length)]; one; one = one->next)
        if (one->prefix_length == length && !memcmp(one->prefix, prefix, length)) return one;
    return NULL;
}

disk *disk_of(const char *path, const char **name) {
    if (!path || !root || strncmp(path, root, root_length)) return NULL;
    const char *slash = strchr(path + root_length, '/');
    if (!slash) return NULL;
    *name = slash + 1;
    return lookup(path, (size_t)(slash + 1 - path));
}

node *disk_find(disk *owner, const char *name) {
    for (node *file = owner->files; file; file = file->next)
        if (!strcmp(file->name, name)) return file;
    return NULL;
}

node *disk_make(disk *owner, const char *name) {
    node *file = disk_find(owner, name);
    if (file) return file;
    if (strlen(name) >= NAME_MAX_BYTES) return NULL;
    file = calloc(1, sizeof *file);
    if (!file) return NULL;
    strcpy(file->name, name);
    file->next = owner->files;
    owner->files = file;
    return file;
}

static int image_room(image *target, int64_t size) {
    if (size <= target->room) return 1;
    int64_t room = target->room ? target->room : 4096;
    while (room < size) room += room / 2;
    uint8_t *data = realloc(target->data, (size_t)room);
    if (!data) return 0;
    target->data = data;
    target->room = room;
    return 1;
}

int image_truncate(image *target, int64_t size) {
    if (!image_room(target, size)) return 0;
    if (size > target->size)
        memset(target->data + target->size, 0, (size_t)(size - target->size));
    target->size = size;
    return 1;
}

int image_write(image *target, const void *data, int64_t count, int64_t offset) {
    int64_t end = offset + count;
    if (!image_room(target, end)) return 0;
    /* Zeros only between the old end and what is written: most writes append. */
    if (offset > target->size && !image_truncate(target, offset)) return 0;
    memcpy(target->data + offset, data, (size_t)count);
    if (end > target->size) target->size = end;
    return 1;
}

static void image_copy(image *target, const image *source) {
    target->size = 0;
    if (source->size) image_write(target, source->data, source->size, 0);
}

int node_log(node *file, int64_t offset, const void *data, int64_t count) {
    if (file->logged == file->log_room) {
        int room = file->log_room ? file->log_room * 2 : 16;
        pending *log = realloc(file->log, (size_t)room * sizeof *log);
        if (!log) return 0;
        file->log = log;
        file->log_room = room;
    }
    pending *entry = &file->log[file->logged];
    entry->offset = offset;
    entry->count = count;
    entry->data = NULL;
    if (count) {
        entry->data = malloc((size_t)count);
        if (!entry->data) return 0;
        memcpy(entry->data, data, (size_t)count);
    }
    file->logged++;
    file->unsynced += count;
    return 1;
}

static void apply(image *target, const pending *entry, int64_t count) {
    if (entry->offset < 0)
        image_truncate(target, -1 - entry->offset);
    else
        image_write(target, entry->data, count, entry->offset);
}

static void forget(node *file) {
    for (int i = 0; i < file->logged; i++) free(file->log[i].data);
    file->logged = 0;
    file->unsynced = 0;
}

void node_synced(node *file) {
    for (int i = 0; i < file->logged; i++) apply(&file->durable, &file->log[i], file->log[i].count);
    forget(file);
    file->exists_durable = file->exists;
}

/* A file system with a journal commits its metadata in order: when any file of it is synced, every
 * name that was made or removed before is durable too. What files hold is not. */
void disk_names_synced(disk *owner) {
    for (node *file = owner->files; file; file = file->next) {
        if (file->exists_durable && !file->exists) node_synced(file);
        file->exists_durable = file->exists;
    }
}

shm *shm_of(node *file) {
    if (!file->memory) file->memory = calloc(1, sizeof *file->memory);
    if (file->memory) file->memory->users++;
    return file->memory;
}

void shm_left(shm *memory) {
    if (--memory->users) return;
    for (int i = 0; i < memory->count; i++) free(memory->regions[i]);
    free(memory);
}

/* A process is gone: its locks and its memory with it; handles that stay open are dead. */
static void unlock_all(disk *owner) {
    owner->generation++;
    owner->down = 1; /* what the dead process does to names must not happen either */
    for (node *file = owner->files; file; file = file->next) {
        file->shared = 0;
        file->reserved = file->waiting = file->exclusive = NULL;
        file->memory = NULL; /* freed by the last handle that is closed */
    }
}

/* ---------------------------------------------------------------- what Python calls */

int flopgate_disk_root(const char *path) {
    free(root);
    root = strdup(path);
    root_length = root ? strlen(root) : 0;
    return root != NULL;
}

disk *flopgate_disk_open(const char *prefix) {
    size_t length = strlen(prefix);
    disk *owner = calloc(1, sizeof *owner);
    if (!owner) return NULL;
    owner->prefix = strdup(prefix);
    owner->prefix_length = length;
    owner->left = -1;
    uint32_t bucket = hash_of(prefix, length);
    owner->next = buckets[bucket];
    buckets[bucket] = owner;
    return owner;
}

static void node_free(node *file) {
    forget(file);
    free(file->log);
    free(file->now.data);
    free(file->durable.data);
    free(file);
}

static void disk_free(disk *owner) {
    for (node *file = owner->files; file;) {
        node *next = file->next;
        node_free(file);
        file = next;
    }
    free(owner->prefix);
    free(owner);
}

void disk_left(disk *owner) {
    if (!--owner->handles && owner->closed) disk_free(owner);
}

void flopgate_disk_close(disk *owner) {
    disk **link = &buckets[hash_of(owner->prefix, owner->prefix_length)];
    while (*link != owner) link = &(*link)->next;
    *link = owner->next;
    owner->closed = owner->died = 1;
    if (!owner->handles) disk_free(owner);
}

void flopgate_disk_crash(disk *owner) {
    unlock_all(owner);
    owner->dies_at = owner->fails_at = 0;
}

void flopgate_disk_revive(disk *owner) {
    if (owner->died) flopgate_disk_crash(owner);
    owner->died = owner->down = 0;
}

const int *flopgate_disk_died(const disk *owner) { return &owner->died; }

int64_t flopgate_disk_calls(const disk *owner) { return owner->calls; }

void flopgate_disk_fail_at(disk *owner, int64_t n, int tears) {
    owner->dies_at = owner->calls + n;
    owner->tears = tears;
}

void flopgate_disk_fail_once(disk *owner, int64_t n) { owner->fails_at = owner->calls + n; }

void flopgate_disk_left(disk *owner, int64_t bytes) { owner->left = bytes; }

void flopgate_disk_lies(disk *owner, int lies) { owner->lies = lies; }

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t value = (*state += 0x9E3779B97F4A7C15ull);
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

/* Power is gone: of the writes that were not synced each may have reached the medium or not, in any
 * order; one that did may have reached it in part, in whole sectors. */
void flopgate_disk_power_loss(disk *owner, uint64_t seed, int keep_percent) {
    unlock_all(owner);
    owner->dies_at = owner->fails_at = 0;
    for (node *file = owner->files; file; file = file->next) {
        int reached = 0;
        for (int i = 0; i < file->logged; i++) {
            pending *entry = &file->log[i];
            if ((int)(next_random(&seed) % 100) >= keep_percent) continue;
            int64_t count = entry->count;
            if (next_random(&seed) % 4 == 0 && count > SECTOR)
                count = (int64_t)(next_random(&seed) % (uint64_t)(count / SECTOR)) * SECTOR;
            apply(&file->durable, entry, count);
            reached = 1;
        }
        forget(file);
        if (file->exists != file->exists_durable && (reached || next_random(&seed) % 2))
            file->exists_durable = file->exists;
        file->exists = file->exists_durable;
        if (!file->exists) file->durable.size = 0;
        image_copy(&file->now, &file->durable);
    }
}

int64_t flopgate_disk_unsynced(disk *owner, const char *name) {
    node *file = disk_find(owner, name);
    return file ? file->unsynced : 0;
}

int flopgate_disk_count(const disk *owner) {
    int count = 0;
    for (node *file = owner->files; file; file = file->next) count++;
    return count;
}

/* The files by number, for snapshots; contents are those of now. */
const char *flopgate_disk_file(const disk *owner, int number, const uint8_t **data, int64_t *size) {
    node *file = owner->files;
    while (file && number--) file = file->next;
    if (!file || !file->exists) return NULL;
    *data = file->now.data;
    *size = file->now.size;
    return file->name;
}

const uint8_t *flopgate_disk_durable(disk *owner, const char *name, int64_t *size) {
    node *file = disk_find(owner, name);
    *size = file && file->exists_durable ? file->durable.size : -1;
    return file ? file->durable.data : NULL;
}

/* Everything is gone; flopgate_disk_put brings what takes its place. */
void flopgate_disk_wipe(disk *owner) {
    unlock_all(owner);
    for (node *file = owner->files; file; file = file->next) {
        forget(file);
        file->exists = file->exists_durable = 0;
        file->now.size = file->durable.size = 0;
    }
}

int flopgate_disk_put(disk *owner, const char *name, const uint8_t *data, int64_t size) {
    node *file = disk_make(owner, name);
    if (!file) return 0;
    file->exists = file->exists_durable = 1;
    file->now.size = file->durable.size = 0;
    return image_write(&file->now, data, size, 0) && image_write(&file->durable, data, size, 0);
}
