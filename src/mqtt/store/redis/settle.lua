-- Messages are acknowledged, received or complete; packet ids are free again.
-- ARGV: replica, client, epoch, sent, (kind, number)*: a acknowledged, r received, c complete, f free
local me, client, epoch, sent = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, queue = P .. 's:' .. client, P .. 'q:' .. client
-- As `held`, with what else is needed.
local s = redis.call('HMGET', key, 'epoch', 'owner', 'bytes', 'sent')
if s[1] ~= epoch or s[2] ~= me then return { -1 } end
local removed, gone = 0, {}
local function remove()
  if #gone > 0 then removed = removed + redis.call('XDEL', queue, unpack(gone)) end
  gone = {}
end
for at = 5, #ARGV, 2 do
  local kind, number = ARGV[at], ARGV[at + 1]
  if kind == 'a' or kind == 'r' then
    gone[#gone + 1] = number .. '-0'
    if #gone == 1000 then remove() end
    if kind == 'r' then redis.call('SADD', P .. 'r:' .. client, number) end
  elseif kind == 'c' then
    redis.call('SREM', P .. 'r:' .. client, number)
  else
    redis.call('HDEL', P .. 'i:' .. client, number)
  end
end
remove()
local bytes, known = tonumber(s[3] or '0'), tonumber(s[4] or '0')
if removed > 0 then
  local rest = redis.call('XLEN', queue)
  -- Messages are taken to be of a size.
  bytes = math.floor(bytes * rest / (rest + removed))
end
if removed > 0 or sent > known then redis.call('HSET', key, 'bytes', bytes, 'sent', math.max(sent, known)) end
return { 0 }
