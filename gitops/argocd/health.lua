-- Health of Defib's custom resources for Argo CD, by the same rules as kstatus: a good spec that is
-- in force is Healthy, whatever the guest does. A VM that is down does not degrade an Application.
local hs = { status = "Progressing", message = "Defib has not looked at it yet" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    return { status = "Degraded", message = condition.reason .. ": " .. condition.message }
  end
  if condition.type == "Ready" then
    hs.message = condition.reason .. ": " .. condition.message
    if condition.status == "True" then
      hs.status = "Healthy"
    end
  end
end
return hs
