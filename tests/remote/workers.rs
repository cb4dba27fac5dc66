//! Workers of the fake server: executions that go as a test tells them.

use std::pin::Pin;
use std::sync::Mutex;

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use bazel_remote_apis::google::longrunning::operations_server::{Operations, OperationsServer};
use bazel_remote_apis::google::longrunning::{self, Operation, operation};
use bazel_remote_apis::google::protobuf::{Any, Empty};
use bazel_remote_apis::google::rpc;
use prost::Message as _;
use reapi::execution_server::{Execution, ExecutionServer};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use crate::fake::Service;

type News = Pin<Box<dyn Stream<Item = Result<Operation, Status>> + Send>>;

/// What is told in each call of `Execute` or `WaitExecution`, first things first.
#[derive(Default)]
pub struct Workers(pub Mutex<Vec<Vec<Told>>>);

/// A piece of news.
#[derive(Clone)]
pub enum Told {
    /// It is on its way.
    Queued,
    /// It ended.
    Done(Box<reapi::ExecuteResponse>),
    /// The call ends with this.
    Fails(Code),
    /// The operation itself failed.
    Failed(Code, &'static str),
    /// Nothing, for ever.
    Silence,
}

pub fn execution(service: Service) -> ExecutionServer<Service> {
    ExecutionServer::new(service)
}

pub fn operations(service: Service) -> OperationsServer<Service> {
    OperationsServer::new(service)
}

impl Service {
    fn news(&self) -> Response<News> {
        let mut calls = self.behaviour.workers.0.lock().unwrap();
        let told = if calls.is_empty() { vec![Told::Silence] } else { calls.remove(0) };
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for piece in told {
                let operation = Operation { name: "operations/1".into(), ..Default::default() };
                let news = match piece {
                    Told::Queued => Ok(operation),
                    Told::Done(response) => Ok(Operation {
                        done: true,
                        result: Some(operation::Result::Response(Any {
                            type_url: "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse".into(),
                            value: response.encode_to_vec(),
                        })),
                        ..operation
                    }),
                    Told::Failed(code, message) => Ok(Operation {
                        done: true,
                        result: Some(operation::Result::Error(rpc::Status {
                            code: code as i32,
                            message: message.into(),
                            ..Default::default()
                        })),
                        ..operation
                    }),
                    Told::Fails(code) => Err(Status::new(code, "gone")),
                    Told::Silence => std::future::pending().await,
                };
                if sender.send(news).await.is_err() {
                    return;
                }
            }
        });
        Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl Execution for Service {
    type ExecuteStream = News;
    type WaitExecutionStream = News;

    async fn execute(&self, request: Request<reapi::ExecuteRequest>) -> Result<Response<News>, Status> {
        let method = if request.get_ref().skip_cache_lookup { "Execute anew" } else { "Execute" };
        self.begin(method, &request, &request.get_ref().instance_name).await?;
        Ok(self.news())
    }

    async fn wait_execution(&self, request: Request<reapi::WaitExecutionRequest>) -> Result<Response<News>, Status> {
        self.begin("WaitExecution", &request, "").await?;
        assert_eq!(request.get_ref().name, "operations/1");
        Ok(self.news())
    }
}

#[tonic::async_trait]
impl Operations for Service {
    async fn list_operations(
        &self,
        _: Request<longrunning::ListOperationsRequest>,
    ) -> Result<Response<longrunning::ListOperationsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_operation(&self, _: Request<longrunning::GetOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_operation(
        &self,
        _: Request<longrunning::DeleteOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_operation(
        &self,
        request: Request<longrunning::CancelOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        self.begin("CancelOperation", &request, "").await?;
        Ok(Response::new(Empty {}))
    }

    async fn wait_operation(
        &self,
        _: Request<longrunning::WaitOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented(""))
    }
}
