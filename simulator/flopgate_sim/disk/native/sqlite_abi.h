/* The part of SQLite's C interface that a VFS needs: names, order and values as its documentation
 * gives them (sqlite.org/c3ref/vfs.html, io_methods.html, c_ioerr_access.html). The structures are
 * part of SQLite's stable interface since 3.7.6. */
#ifndef FLOPGATE_SQLITE_ABI_H
#define FLOPGATE_SQLITE_ABI_H

#include <stdint.h>

typedef int64_t sqlite3_int64;
typedef struct sqlite3_file sqlite3_file;
typedef struct sqlite3_vfs sqlite3_vfs;

typedef struct sqlite3_io_methods {
    int iVersion;
    int (*xClose)(sqlite3_file *);
    int (*xRead)(sqlite3_file *, void *, int, sqlite3_int64);
    int (*xWrite)(sqlite3_file *, const void *, int, sqlite3_int64);
    int (*xTruncate)(sqlite3_file *, sqlite3_int64);
    int (*xSync)(sqlite3_file *, int);
    int (*xFileSize)(sqlite3_file *, sqlite3_int64 *);
    int (*xLock)(sqlite3_file *, int);
    int (*xUnlock)(sqlite3_file *, int);
    int (*xCheckReservedLock)(sqlite3_file *, int *);
    int (*xFileControl)(sqlite3_file *, int, void *);
    int (*xSectorSize)(sqlite3_file *);
    int (*xDeviceCharacteristics)(sqlite3_file *);
    int (*xShmMap)(sqlite3_file *, int, int, int, void volatile **);
    int (*xShmLock)(sqlite3_file *, int, int, int);
    void (*xShmBarrier)(sqlite3_file *);
    int (*xShmUnmap)(sqlite3_file *, int);
} sqlite3_io_methods;

struct sqlite3_file {
    const sqlite3_io_methods *pMethods;
};

struct sqlite3_vfs {
    int iVersion;
    int szOsFile;
    int mxPathname;
    sqlite3_vfs *pNext;
    const char *zName;
    void *pAppData;
    int (*xOpen)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
    int (*xDelete)(sqlite3_vfs *, const char *, int);
    int (*xAccess)(sqlite3_vfs *, const char *, int, int *);
    int (*xFullPathname)(sqlite3_vfs *, const char *, int, char *);
    void *(*xDlOpen)(sqlite3_vfs *, const char *);
    void (*xDlError)(sqlite3_vfs *, int, char *);
    void (*(*xDlSym)(sqlite3_vfs *, void *, const char *))(void);
    void (*xDlClose)(sqlite3_vfs *, void *);
    int (*xRandomness)(sqlite3_vfs *, int, char *);
    int (*xSleep)(sqlite3_vfs *, int);
    int (*xCurrentTime)(sqlite3_vfs *, double *);
    int (*xGetLastError)(sqlite3_vfs *, int, char *);
    int (*xCurrentTimeInt64)(sqlite3_vfs *, sqlite3_int64 *);
};

enum {
    SQLITE_OK = 0,
    SQLITE_BUSY = 5,
    SQLITE_NOMEM = 7,
    SQLITE_IOERR = 10,
    SQLITE_NOTFOUND = 12,
    SQLITE_FULL = 13,
    SQLITE_CANTOPEN = 14,
    SQLITE_IOERR_SHORT_READ = SQLITE_IOERR | (2 << 8),
    SQLITE_IOERR_WRITE = SQLITE_IOERR | (3 << 8),
    SQLITE_IOERR_FSYNC = SQLITE_IOERR | (4 << 8),
    SQLITE_IOERR_TRUNCATE = SQLITE_IOERR | (6 << 8),
    SQLITE_IOERR_DELETE = SQLITE_IOERR | (10 << 8),
    SQLITE_OPEN_READONLY = 0x00000001,
    SQLITE_OPEN_CREATE = 0x00000004,
    SQLITE_OPEN_DELETEONCLOSE = 0x00000008,
    SQLITE_LOCK_NONE = 0,
    SQLITE_LOCK_SHARED = 1,
    SQLITE_LOCK_RESERVED = 2,
    SQLITE_LOCK_PENDING = 3,
    SQLITE_LOCK_EXCLUSIVE = 4,
    SQLITE_SHM_UNLOCK = 1,
    SQLITE_SHM_LOCK = 2,
    SQLITE_SHM_SHARED = 4,
    SQLITE_SHM_EXCLUSIVE = 8,
    SQLITE_SHM_NLOCK = 8,
    SQLITE_IOCAP_POWERSAFE_OVERWRITE = 0x00001000,
};

#endif
