/* error_table.h - every status code: E(symbol, number, name, errno, what a caller does next, sentence).
 *
 * Numbers and names are those that operators of 3FS know; they are stable on the wire and never reused.
 * Actions: FAIL = give up; RETRY = the same server after a pause; FAILOVER = another server, if there is
 * one; ROUTING = refresh the routing information, then retry. A number of ERR_SYSTEM_BASE + errno is an
 * error of the operating system.
 */
#pragma once

/* clang-format off */
#define ERROR_TABLE(E) \
    E(NOT_IMPLEMENTED, 1, "NotImplemented", ENOSYS, FAIL, "this operation does not exist here") \
    E(DATA_CORRUPTION, 2, "DataCorruption", EIO, FAIL, "stored data failed its checksum") \
    E(INVALID_ARG, 3, "InvalidArg", EINVAL, FAIL, "an argument is not acceptable") \
    E(INVALID_CONFIG, 4, "InvalidConfig", EINVAL, FAIL, "the configuration is not acceptable") \
    E(CONFIG_INVALID_TYPE, 15, "ConfigInvalidType", EINVAL, FAIL, "a configuration value has the wrong type") \
    E(CONFIG_INVALID_VALUE, 16, "ConfigInvalidValue", EINVAL, FAIL, "a configuration value is out of range") \
    E(CONFIG_UPDATE_FAILED, 17, "ConfigUpdateFailed", EINVAL, FAIL, "the configuration cannot be changed while running") \
    E(CONFIG_VALIDATE_FAILED, 18, "ConfigValidateFailed", EINVAL, FAIL, "the configuration contradicts itself") \
    E(CONFIG_REDUNDANT_KEY, 19, "ConfigRedundantKey", EINVAL, FAIL, "the configuration has an unknown key") \
    E(CONFIG_KEY_NOT_FOUND, 20, "ConfigKeyNotFound", EINVAL, FAIL, "the configuration lacks a key") \
    E(AUTH_FAIL, 25, "AuthenticationFail", EACCES, FAIL, "the credentials were refused") \
    E(INVALID_FORMAT, 33, "InvalidFormat", EINVAL, FAIL, "the text or record is malformed") \
    E(READ_ONLY_MODE, 34, "ReadOnlyMode", EROFS, FAIL, "the service is read-only") \
    E(NO_APPLICATION, 52, "NoApplication", EINVAL, FAIL, "no application runs here") \
    E(CANNOT_PUSH_CONFIG, 53, "CannotPushConfig", EPERM, FAIL, "the process uses a local configuration") \
    E(TOKEN_MISMATCH, 64, "TokenMismatch", EACCES, FAIL, "the token is not one of the user") \
    E(TOKEN_DUPLICATED, 65, "TokenDuplicated", EEXIST, FAIL, "the token is in use already") \
    E(TOKEN_STALE, 66, "TokenStale", EACCES, FAIL, "the token has expired") \
    E(TOO_MANY_TOKENS, 67, "TooManyTokens", ENOSPC, FAIL, "the user has too many active tokens") \
    E(AUTH_REVOKED, 68, "AuthenticationRevoked", EACCES, FAIL, "what the user was given is void since") \
    E(FAULT_INJECTION, 70, "FaultInjection", EIO, FAIL, "a fault point fired") \
    E(CONFIG_PARSE_ERROR, 71, "ConfigParseError", EINVAL, FAIL, "the configuration text cannot be parsed") \
    E(CANCELED, 80, "Canceled", EINTR, FAIL, "the operation was cancelled") \
    E(BUSY, 81, "Busy", EBUSY, RETRY, "a limit is reached; try again later") \
    E(NO_MEMORY, 82, "NoMemory", ENOMEM, FAIL, "memory for this request is not to be had") \
    E(FORMAT_TOO_NEW, 83, "FormatTooNew", EPROTO, FAIL, "written by a newer release; upgrade this one") \
    E(NOT_SUPPORTED, 84, "NotSupported", EOPNOTSUPP, FAIL, "not possible on this file system or host") \
    E(FOUND_BUG, 998, "FoundBug", EIO, FAIL, "an internal rule was broken") \
    E(UNKNOWN, 999, "Unknown", EIO, FAIL, "no better code is known") \
    E(TXN_FAILED, 1000, "TransactionFailed", EIO, RETRY, "the transaction failed") \
    E(TXN_CONFLICT, 1001, "TransactionConflict", EAGAIN, RETRY, "another transaction changed what this one read") \
    E(TXN_THROTTLED, 1002, "TransactionThrottled", EAGAIN, RETRY, "the store is overloaded") \
    E(TXN_TOO_OLD, 1003, "TransactionTooOld", EAGAIN, RETRY, "the transaction lived longer than its limit") \
    E(TXN_NETWORK_ERROR, 1004, "TransactionNetworkError", EIO, RETRY, "the store cannot be reached") \
    E(TXN_CANCELED, 1005, "TransactionCanceled", EINTR, RETRY, "the transaction was cancelled") \
    E(TXN_MAYBE_COMMITTED, 1006, "TransactionMaybeCommitted", EIO, RETRY, "it is unknown whether the transaction committed") \
    E(TXN_RETRYABLE, 1007, "TransactionRetryable", EAGAIN, RETRY, "the store asks for a retry") \
    E(TXN_RESOURCE_CONSTRAINED, 1008, "TransactionResourceConstrained", EAGAIN, RETRY, "the store lacks resources") \
    E(TXN_PROCESS_BEHIND, 1009, "TransactionProcessBehind", EAGAIN, RETRY, "the store is behind") \
    E(TXN_FUTURE_VERSION, 1010, "TransactionFutureVersion", EAGAIN, RETRY, "the store has not reached this version yet") \
    E(TXN_TOO_LARGE, 1011, "TransactionTooLarge", E2BIG, FAIL, "a transaction is larger than 10 MB") \
    E(KV_FULL, 1012, "KvFull", ENOSPC, FAIL, "the metadata store is full") \
    E(RPC_INVALID_MESSAGE, 2000, "InvalidMessageType", EPROTO, FAIL, "a frame is malformed") \
    E(RPC_VERIFY_REQUEST, 2002, "VerifyRequestFailed", EPROTO, FAIL, "a request cannot be decoded") \
    E(RPC_VERIFY_RESPONSE, 2003, "VerifyResponseFailed", EPROTO, FAIL, "a reply cannot be decoded") \
    E(TIMEOUT, 2005, "Timeout", ETIMEDOUT, FAILOVER, "the deadline has passed") \
    E(RPC_INVALID_ADDR, 2006, "InvalidAddr", EINVAL, FAIL, "the address is malformed") \
    E(RPC_SEND_FAILED, 2007, "SendFailed", EIO, FAILOVER, "the request could not be sent") \
    E(RPC_INVALID_SERVICE, 2008, "InvalidServiceID", ENOSYS, FAIL, "no such service at this address") \
    E(RPC_INVALID_METHOD, 2009, "InvalidMethodID", ENOSYS, FAIL, "no such method in this service") \
    E(RPC_SOCKET_ERROR, 2010, "SocketError", EIO, FAILOVER, "the connection failed") \
    E(RPC_LISTEN_FAILED, 2011, "ListenFailed", EADDRINUSE, FAIL, "cannot listen at this address") \
    E(RPC_REQUEST_REFUSED, 2012, "RequestRefused", EAGAIN, FAILOVER, "the server is stopping or full") \
    E(RPC_SOCKET_CLOSED, 2013, "SocketClosed", EIO, FAILOVER, "the peer closed the connection") \
    E(RPC_CONNECT_FAILED, 2014, "ConnectFailed", EHOSTUNREACH, FAILOVER, "the connection was refused or not answered") \
    E(RDMA_INIT_FAILED, 2015, "IBInitFailed", ENODEV, FAIL, "no RDMA device could be set up") \
    E(RDMA_NO_BUF, 2019, "RDMANoBuf", ENOBUFS, FAIL, "no transfer buffer is free") \
    E(META_NOT_FOUND, 3000, "NotFound", ENOENT, FAIL, "no such file, directory or record") \
    E(META_NOT_EMPTY, 3001, "NotEmpty", ENOTEMPTY, FAIL, "the directory is not empty") \
    E(META_NOT_DIRECTORY, 3003, "NotDirectory", ENOTDIR, FAIL, "not a directory") \
    E(META_TOO_MANY_SYMLINKS, 3005, "TooManySymlinks", ELOOP, FAIL, "too many symbolic links") \
    E(META_IS_DIRECTORY, 3006, "IsDirectory", EISDIR, FAIL, "it is a directory") \
    E(META_EXISTS, 3007, "Exists", EEXIST, FAIL, "it exists already") \
    E(META_NO_PERMISSION, 3008, "NoPermission", EPERM, FAIL, "only the owner or root may do this") \
    E(META_INCONSISTENT, 3009, "Inconsistent", EIO, FAIL, "stored metadata contradicts itself") \
    E(META_NOT_FILE, 3010, "NotFile", EBADF, FAIL, "not a regular file") \
    E(META_BAD_FILE_SYSTEM, 3011, "BadFileSystem", EIO, FAIL, "the file system has not been initialised") \
    E(META_INODE_ID_ALLOC_FAILED, 3012, "InodeIdAllocFailed", EIO, FAIL, "no inode id could be had") \
    E(META_INVALID_LAYOUT, 3013, "InvalidFileLayout", EINVAL, FAIL, "the layout is not possible with this chain table") \
    E(META_FILE_HAS_HOLE, 3014, "FileHasHole", ENODATA, FAIL, "the range has a hole") \
    E(META_MORE_CHUNKS, 3016, "MoreChunksToRemove", EAGAIN, FAIL, "more chunks are to be removed") \
    E(META_NAME_TOO_LONG, 3017, "NameTooLong", ENAMETOOLONG, FAIL, "a name is longer than 255 bytes") \
    E(META_REQUEST_CANCELED, 3018, "RequestCanceled", EINTR, FAIL, "the request was cancelled") \
    E(META_BUSY, 3019, "MetaBusy", EBUSY, RETRY, "the inode is busy") \
    E(META_NO_ACCESS, 3020, "NoAccess", EACCES, FAIL, "the mode bits do not allow this") \
    E(META_STALE, 3021, "Stale", ESTALE, FAIL, "the inode was removed") \
    E(META_NO_ATTR, 3022, "NoAttribute", ENODATA, FAIL, "no such extended attribute") \
    E(META_TOO_MANY_LINKS, 3023, "TooManyLinks", EMLINK, FAIL, "the link count is at its limit") \
    E(META_INVALID_MOVE, 3024, "InvalidMove", EINVAL, FAIL, "a directory cannot be moved below itself") \
    E(META_CROSS_DEVICE, 3025, "CrossDevice", EXDEV, FAIL, "not on the same file system") \
    E(META_NO_LOCK, 3101, "NoLock", ENOLCK, FAIL, "the directory is locked by another client") \
    E(META_FILE_TOO_LARGE, 3102, "FileTooLarge", EFBIG, FAIL, "the file would be larger than its layout allows") \
    E(META_ATTR_TOO_LARGE, 3103, "AttributeTooLarge", E2BIG, FAIL, "an extended attribute is too large") \
    E(META_OPERATION_TIMEOUT, 3203, "OperationTimeout", ETIMEDOUT, RETRY, "the metadata operation took too long") \
    E(CHUNK_NOT_FOUND_LOCAL, 4001, "ChunkMetadataNotFound", ENOENT, FAIL, "the target has no such chunk") \
    E(CHUNK_NOT_COMMIT, 4004, "ChunkNotCommit", EAGAIN, RETRY, "an update of the chunk is not committed yet") \
    E(CHUNK_STALE_UPDATE, 4006, "ChunkStaleUpdate", EIO, FAIL, "the update is older than the pending one") \
    E(CHUNK_MISSING_UPDATE, 4007, "ChunkMissingUpdate", EIO, RETRY, "an earlier update is missing") \
    E(CHUNK_COMMITTED_UPDATE, 4008, "ChunkCommittedUpdate", EIO, FAIL, "this version belongs to another committed update") \
    E(CHUNK_READ_FAILED, 4010, "ChunkReadFailed", EIO, FAIL, "the disk failed to read") \
    E(CHUNK_WRITE_FAILED, 4011, "ChunkWriteFailed", EIO, FAIL, "the disk failed to write") \
    E(CHUNK_ADVANCE_UPDATE, 4012, "ChunkAdvanceUpdate", EIO, FAIL, "a pending update is in the way") \
    E(CHUNK_SIZE_MISMATCH, 4015, "ChunkSizeMismatch", EINVAL, FAIL, "the chunk has another chunk size") \
    E(STORAGE_STAT_FAILED, 4016, "StorageStatFailed", EIO, FAIL, "the disk cannot be examined") \
    E(STORAGE_UUID_MISMATCH, 4017, "StorageUUIDMismatch", EIO, FAIL, "the directory belongs to another disk or cluster") \
    E(STORAGE_INIT_FAILED, 4018, "StorageInitFailed", EIO, FAIL, "the target or disk cannot be set up") \
    E(CHUNK_STALE_GENERATION, 4025, "ChunkStaleGeneration", EAGAIN, FAIL, "the file was truncated since; refresh the inode") \
    E(TARGET_OFFLINE, 4030, "TargetOffline", EIO, ROUTING, "the target is offline") \
    E(TARGET_NOT_FOUND, 4031, "TargetNotFound", EIO, ROUTING, "no such target on this node") \
    E(TARGET_STATE_INVALID, 4032, "TargetStateInvalid", EIO, ROUTING, "the target is not in the state for this") \
    E(NO_SUCCESSOR_TARGET, 4033, "NoSuccessorTarget", EIO, ROUTING, "the target is the tail of its chain") \
    E(SYNC_START_FAILED, 4070, "SyncStartFailed", EIO, RETRY, "resync cannot start now") \
    E(CHECKSUM_MISMATCH, 4080, "ChecksumMismatch", EIO, FAIL, "data does not match its checksum") \
    E(CHAIN_VERSION_MISMATCH, 4081, "ChainVersionMismatch", EAGAIN, ROUTING, "the chain has changed") \
    E(CHUNK_VERSION_MISMATCH, 4082, "ChunkVersionMismatch", EIO, FAIL, "replicas disagree on the version") \
    E(CHANNEL_IS_LOCKED, 4090, "ChannelIsLocked", EAGAIN, RETRY, "an update of this channel is running") \
    E(CHUNK_IS_LOCKED, 4091, "ChunkIsLocked", EAGAIN, RETRY, "an update of this chunk is running") \
    E(MGMTD_NOT_PRIMARY, 5000, "NotPrimary", EAGAIN, FAILOVER, "this cluster manager is not the primary") \
    E(MGMTD_NODE_NOT_FOUND, 5001, "NodeNotFound", ENOENT, FAIL, "no such node") \
    E(MGMTD_HEARTBEAT_FAIL, 5002, "HeartbeatFail", EINVAL, FAIL, "the heartbeat was refused") \
    E(MGMTD_CLUSTER_ID_MISMATCH, 5003, "ClusterIdMismatch", EINVAL, FAIL, "the peer belongs to another cluster") \
    E(MGMTD_REGISTER_FAIL, 5004, "RegisterFail", EINVAL, FAIL, "the node cannot be registered") \
    E(MGMTD_INVALID_ROUTING_VERSION, 5005, "InvalidRoutingInfoVersion", EINVAL, FAIL, "the routing version is not known here") \
    E(MGMTD_INVALID_CONFIG_VERSION, 5006, "InvalidConfigVersion", EINVAL, FAIL, "no such configuration version") \
    E(MGMTD_INVALID_CHAIN_TABLE, 5007, "InvalidChainTable", EINVAL, FAIL, "the chain table or chain is not acceptable") \
    E(MGMTD_INVALID_CHAIN_TABLE_VERSION, 5008, "InvalidChainTableVersion", EINVAL, FAIL, "no such chain table version") \
    E(MGMTD_HEARTBEAT_STALE, 5009, "HeartbeatVersionStale", EINVAL, FAIL, "a newer heartbeat was seen already") \
    E(MGMTD_SESSION_STALE, 5010, "ClientSessionVersionStale", EINVAL, FAIL, "a newer session extension was seen already") \
    E(MGMTD_INVALID_TAG, 5011, "InvalidTag", EINVAL, FAIL, "the tag is not acceptable") \
    E(MGMTD_CHAIN_NOT_FOUND, 5012, "ChainNotFound", ENOENT, FAIL, "no such chain") \
    E(MGMTD_NODE_TYPE_MISMATCH, 5013, "NodeTypeMismatch", EINVAL, FAIL, "the node has another type") \
    E(MGMTD_SESSION_MISMATCH, 5014, "ExtendClientSessionMismatch", EINVAL, FAIL, "the session belongs to another client") \
    E(MGMTD_SESSION_NOT_FOUND, 5015, "ClientSessionNotFound", ENOENT, FAIL, "no such client session") \
    E(MGMTD_NOT_ADMIN, 5016, "NotAdmin", EPERM, FAIL, "only an administrator may do this") \
    E(MGMTD_TARGET_NOT_FOUND, 5017, "TargetNotFoundInChains", ENOENT, FAIL, "no such target") \
    E(MGMTD_TARGET_EXISTED, 5018, "TargetExisted", EEXIST, FAIL, "the target is in a chain already") \
    E(PRIMARY_MGMTD_NOT_FOUND, 6000, "PrimaryMgmtdNotFound", EAGAIN, FAILOVER, "no primary cluster manager answers") \
    E(META_SERVICE_NOT_AVAILABLE, 6002, "MetaServiceNotAvailable", EAGAIN, RETRY, "no metadata service answers") \
    E(ROUTING_NOT_READY, 6004, "RoutingInfoNotReady", EAGAIN, RETRY, "no routing information yet") \
    E(ROUTING_ERROR, 7004, "RoutingError", EIO, ROUTING, "the routing information does not fit the request") \
    E(NOT_AVAILABLE, 7005, "NotAvailable", EIO, ROUTING, "no replica can serve this now") \
    E(CHUNK_NOT_FOUND, 7007, "ChunkNotFound", ENOENT, FAIL, "no such chunk") \
    E(DUPLICATE_UPDATE, 7013, "DuplicateUpdate", EIO, FAIL, "the channel has moved on") \
    E(ROUTING_VERSION_MISMATCH, 7014, "RoutingVersionMismatch", EAGAIN, ROUTING, "the chain version is not the current one") \
    E(NO_SPACE, 7021, "NoSpace", ENOSPC, FAIL, "no space is left") \
    E(TOO_MANY_OPEN_FILES, 8000, "TooManyOpenFiles", EMFILE, FAIL, "too many files are open") \
    E(OPERATION_DISABLED, 8003, "OperationDisabled", EPERM, FAIL, "this operation is switched off") \
    E(IOV_NOT_REGISTERED, 8004, "IovNotRegistered", EACCES, FAIL, "the buffer is not registered") \
    E(WRONG_USAGE, 10000, "WrongUsage", EINVAL, FAIL, "the command line is wrong")
/* clang-format on */
